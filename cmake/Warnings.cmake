# Warnings are errors in our own code. -ffp-contract=off: the published runs are reproduced to the last digit, and a fused
# multiply-add would change the integer truncation of FGD's score in some of them.
add_library(berth_flags INTERFACE)
target_compile_options(berth_flags INTERFACE
    -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Wformat=2
    -ffp-contract=off -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of gcc 12 in its own std::string (GCC bug 105651).
  target_compile_options(berth_flags INTERFACE -Wno-stringop-overflow -Wno-restrict -Wno-array-bounds)
endif()
