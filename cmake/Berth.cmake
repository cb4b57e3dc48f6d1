# berth_library(<folder> SOURCES a.cc ... [LINK libs ...])
# Makes the target berth_<folder>. It links every folder that the layer table allows and that exists, so that the table
# alone decides what can be included; LINK adds third-party libraries.
function(berth_library folder)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  string(REPLACE "/" "_" name ${folder})
  add_library(berth_${name} STATIC ${ARG_SOURCES})
  target_include_directories(berth_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(berth_${name} PRIVATE berth_flags PUBLIC ${ARG_LINK})
  foreach(lower IN LISTS BERTH_LAYER_${name})
    string(REPLACE "/" "_" lower_name ${lower})
    if(TARGET berth_${lower_name})
      target_link_libraries(berth_${name} PUBLIC berth_${lower_name})
    endif()
  endforeach()
endfunction()

# The precompiled header of GoogleTest, compiled once for all test programs.
function(berth_test_header)
  if(TARGET berth_test_header)
    return()
  endif()
  file(WRITE ${CMAKE_BINARY_DIR}/test_header.cc "")
  add_library(berth_test_header OBJECT ${CMAKE_BINARY_DIR}/test_header.cc)
  target_link_libraries(berth_test_header PRIVATE berth_flags GTest::gmock)
  target_compile_options(berth_test_header PRIVATE -pthread)   # some libraries bring it, and it must be the same everywhere
  target_precompile_headers(berth_test_header PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
endfunction()

# berth_tests(<folder> SOURCES a_test.cc ... [LABEL fast|full|e2e|mpi] [LINK libs ...] [NAME suffix])
# One test program a folder and label. A test's label says when it runs: fast (all of it under 60 s), full, e2e, mpi (two processes).
function(berth_tests folder)
  cmake_parse_arguments(ARG "" "LABEL;NAME" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL fast)
  endif()
  string(REPLACE "/" "_" name ${folder})
  set(target ${name}_${ARG_LABEL}_tests)
  if(ARG_NAME)
    set(target ${name}_${ARG_NAME}_tests)
  endif()
  add_executable(${target} ${ARG_SOURCES})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(${target} PRIVATE berth_flags ${ARG_LINK} GTest::gmock GTest::gtest_main)
  if(TARGET berth_${name})
    target_link_libraries(${target} PRIVATE berth_${name})
  endif()
  berth_test_header()
  target_compile_options(${target} PRIVATE -pthread)
  target_precompile_headers(${target} REUSE_FROM berth_test_header)
  set(serial)
  if(ARG_LABEL STREQUAL "e2e")   # each has the machine to itself
    set(serial RUN_SERIAL TRUE)
  elseif(ARG_LABEL STREQUAL "mpi")   # the ranks wait for each other: a core each
    set(serial PROCESSORS 2)
  endif()
  gtest_discover_tests(${target} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 120
      PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 900 ${serial}
      # Two properties, since gtest_discover_tests splits a list of variables.
      ENVIRONMENT "BERTH_SOURCE_DIR=${CMAKE_SOURCE_DIR}"
      ENVIRONMENT_MODIFICATION "BERTH_BIN_DIR=set:${CMAKE_BINARY_DIR}/bin")
endfunction()
