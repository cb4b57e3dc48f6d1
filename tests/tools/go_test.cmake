# Runs the tests of one Go program: cmake -DPACKAGE=<folder> -DPATTERN=<regular expression of test names> -P go_test.cmake
# Prints "SKIPPED: <why>" where Go is not installed. Works offline: the programs use the standard library alone.
find_program(GO go NO_CACHE PATHS /usr/local/go/bin)
if(NOT GO)
  message("SKIPPED: the program go was not found; install Go 1.19 or newer (Debian: golang-go)")
  return()
endif()
set(ENV{GOFLAGS} -mod=mod)
set(ENV{GOWORK} off)
set(ENV{GOPROXY} off)
set(ENV{GOTOOLCHAIN} local)
if("$ENV{HOME}" STREQUAL "" AND "$ENV{GOCACHE}" STREQUAL "")
  set(ENV{GOCACHE} ${CMAKE_CURRENT_BINARY_DIR}/go-cache)
endif()
# -count=1: a cached result would not see that the trace has come or gone.
execute_process(COMMAND ${GO} test -count=1 -v -run ${PATTERN} . WORKING_DIRECTORY ${PACKAGE} RESULT_VARIABLE result
                OUTPUT_VARIABLE output ERROR_VARIABLE output)
message("${output}")
if(NOT result EQUAL 0)
  message(FATAL_ERROR "go test failed: ${result}")
endif()
if(NOT output MATCHES "=== RUN")
  message(FATAL_ERROR "no Go test matches ${PATTERN}")
endif()
