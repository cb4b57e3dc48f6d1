#include "cli/verbs.h"

int main(int argc, char** argv) { return berth::cli::Main(argc, argv); }
