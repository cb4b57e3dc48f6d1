# FindBerthTorch: LibTorch for src/agent, as one INTERFACE target, berth_torch.
#
# Where it is taken from, in this order:
#   BERTH_TORCH_DIR       a folder with include/ and lib/, such as .../site-packages/torch of PyPI's torch wheel or an unpacked
#                         libtorch archive. It is an error if LibTorch is not there.
#   CMAKE_PREFIX_PATH     the first entry of that layout.
#   the system            Debian's libtorch-dev.
# PyPI's wheel needs two small ones beside it, of the versions that torch's metadata pins:
#   pip install --no-deps torch nvidia-cuda-cupti nvidia-cuda-runtime
#
# The wheel's own find_package(Torch) is not used: it looks for libc10 in the system's folders first, which mixes two
# versions in one program, and it links CUDA. Headers are SYSTEM: their warnings are not ours.
#
# Sets BerthTorch_FOUND, BerthTorch_VERSION, BerthTorch_BLAS (what a probe program had mapped) and BerthTorch_HAS_GLOO (torch.distributed
# with Gloo is in the library, and its headers and Gloo's, libgloo-dev, are there: training may run in several processes).

set(BERTH_TORCH_DIR "" CACHE PATH "LibTorch of your own: a folder with include/ and lib/. Empty: CMAKE_PREFIX_PATH, then the system's")

set(_api torch/csrc/api/include)
set(_root "")
if(BERTH_TORCH_DIR)
  set(_root ${BERTH_TORCH_DIR})
  if(NOT EXISTS ${_root}/include/${_api}/torch/version.h)
    message(FATAL_ERROR "BERTH_TORCH_DIR is '${BERTH_TORCH_DIR}', accepted: a folder with include/${_api}/torch/version.h and lib/libtorch_cpu.so")
  endif()
else()
  foreach(_prefix IN LISTS CMAKE_PREFIX_PATH)
    if(EXISTS ${_prefix}/include/${_api}/torch/version.h AND EXISTS ${_prefix}/lib/libtorch_cpu.so)
      set(_root ${_prefix})
      break()
    endif()
  endforeach()
endif()

# A change of the source must not leave the other one's paths behind.
if(NOT "${_root}" STREQUAL "${BERTH_TORCH_ROOT}")
  foreach(_name API_INCLUDE INCLUDE CPU_LIBRARY C10_LIBRARY PROBE PROBE_OUTPUT HAS_GLOO)
    unset(BERTH_TORCH_${_name} CACHE)
  endforeach()
endif()
set(BERTH_TORCH_ROOT "${_root}" CACHE INTERNAL "Where LibTorch was taken from; empty: the system")

if(_root)
  find_path(BERTH_TORCH_INCLUDE torch/csrc/api/include/torch/version.h PATHS ${_root}/include NO_DEFAULT_PATH)
  find_path(BERTH_TORCH_API_INCLUDE torch/version.h PATHS ${_root}/include/${_api} NO_DEFAULT_PATH)
  find_library(BERTH_TORCH_CPU_LIBRARY torch_cpu PATHS ${_root}/lib NO_DEFAULT_PATH)
  find_library(BERTH_TORCH_C10_LIBRARY c10 PATHS ${_root}/lib NO_DEFAULT_PATH)
else()
  find_path(BERTH_TORCH_INCLUDE torch/csrc/api/include/torch/version.h)
  find_path(BERTH_TORCH_API_INCLUDE torch/version.h PATH_SUFFIXES ${_api})
  find_library(BERTH_TORCH_CPU_LIBRARY torch_cpu)
  find_library(BERTH_TORCH_C10_LIBRARY c10)
endif()
mark_as_advanced(BERTH_TORCH_INCLUDE BERTH_TORCH_API_INCLUDE BERTH_TORCH_CPU_LIBRARY BERTH_TORCH_C10_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BerthTorch
    REQUIRED_VARS BERTH_TORCH_CPU_LIBRARY BERTH_TORCH_C10_LIBRARY BERTH_TORCH_INCLUDE BERTH_TORCH_API_INCLUDE
    REASON_FAILURE_MESSAGE "Install libtorch-dev (tools/install.sh), set BERTH_TORCH_DIR, or build without training: -DBERTH_WITH_TORCH=OFF")

if(BerthTorch_FOUND AND NOT TARGET berth_torch)
  foreach(_name cpu c10)
    string(TOUPPER ${_name} _upper)
    add_library(berth_torch_${_name} SHARED IMPORTED)
    set_target_properties(berth_torch_${_name} PROPERTIES IMPORTED_LOCATION ${BERTH_TORCH_${_upper}_LIBRARY})
  endforeach()
  add_library(berth_torch INTERFACE)
  set(_include ${BERTH_TORCH_INCLUDE})
  if(_root)
    # The wheel's include/ holds fmt, protobuf and more, of versions that are not the ones we link. Only LibTorch's own
    # folders are let in.
    set(_include ${CMAKE_BINARY_DIR}/torch-include)
    file(MAKE_DIRECTORY ${_include})
    foreach(_folder torch ATen c10 caffe2 gloo)
      if(NOT EXISTS ${BERTH_TORCH_INCLUDE}/${_folder})
        continue()
      endif()
      file(CREATE_LINK ${BERTH_TORCH_INCLUDE}/${_folder} ${_include}/${_folder} SYMBOLIC)
    endforeach()
  endif()
  set(_includes ${_include}/${_api} ${_include})
  list(REMOVE_ITEM _includes ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
  target_include_directories(berth_torch SYSTEM INTERFACE ${_includes})
  target_link_libraries(berth_torch INTERFACE berth_torch_cpu berth_torch_c10)

  # The probe includes no header of LibTorch but the version, so that it compiles in a second; it says which BLAS gets loaded.
  if(NOT DEFINED BERTH_TORCH_PROBE)
    set(_libraries ${BERTH_TORCH_CPU_LIBRARY} ${BERTH_TORCH_C10_LIBRARY})
    try_run(BERTH_TORCH_PROBE BERTH_TORCH_PROBE_COMPILES
            ${CMAKE_BINARY_DIR}/torch-probe ${CMAKE_CURRENT_LIST_DIR}/torch_probe.cc
            CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${_includes}"
            LINK_OPTIONS -Wl,--no-as-needed
            LINK_LIBRARIES ${_libraries}
            COMPILE_OUTPUT_VARIABLE _compile_output
            RUN_OUTPUT_VARIABLE _output)
    if(NOT "${BERTH_TORCH_PROBE}" STREQUAL "0")
      unset(BERTH_TORCH_PROBE CACHE)
      message(FATAL_ERROR "A program that links LibTorch (${BERTH_TORCH_CPU_LIBRARY}) does not build or start:\n${_compile_output}${_output}")
    endif()
    string(REGEX REPLACE "\n$" "" _output "${_output}")
    string(REPLACE "\n" ";" _output "${_output}")
    set(BERTH_TORCH_PROBE_OUTPUT "${_output}" CACHE INTERNAL "Version and BLAS, as the probe of LibTorch printed them")
  endif()
  list(GET BERTH_TORCH_PROBE_OUTPUT 0 BerthTorch_VERSION)
  list(GET BERTH_TORCH_PROBE_OUTPUT 1 BerthTorch_BLAS)
  message(STATUS "LibTorch ${BerthTorch_VERSION}, BLAS: ${BerthTorch_BLAS}")
  if(BerthTorch_BLAS STREQUAL "reference")
    message(WARNING "LibTorch uses the reference BLAS, which makes training many times slower. Install libopenblas0-serial (tools/install.sh).")
  endif()

  # Gloo's headers must be those that the library was built with: of a LibTorch of your own, the ones that it brings.
  if(_root AND NOT EXISTS ${BERTH_TORCH_INCLUDE}/gloo)
    set(BERTH_TORCH_HAS_GLOO FALSE CACHE INTERNAL "torch.distributed with Gloo")
  endif()
  if(NOT DEFINED BERTH_TORCH_HAS_GLOO)
    try_compile(BERTH_TORCH_HAS_GLOO ${CMAKE_BINARY_DIR}/torch-gloo-probe ${CMAKE_CURRENT_LIST_DIR}/torch_gloo_probe.cc
                CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${_includes}"
                LINK_LIBRARIES ${BERTH_TORCH_CPU_LIBRARY} ${BERTH_TORCH_C10_LIBRARY}
                CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON)
  endif()
  if(NOT BERTH_TORCH_HAS_GLOO)
    message(STATUS "LibTorch without torch.distributed, or without Gloo's headers: berth-train runs in one process")
  endif()
  set(BerthTorch_HAS_GLOO ${BERTH_TORCH_HAS_GLOO})
endif()
