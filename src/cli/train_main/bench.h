// `berth-train --bench`, which `berth bench train` starts: how fast this machine decides and learns.
#ifndef BERTH_CLI_TRAIN_MAIN_BENCH_H_
#define BERTH_CLI_TRAIN_MAIN_BENCH_H_

namespace berth {

// Arguments as of main, argv[0] = the program. Returns the exit code: 0 done, 1 failed, 2 wrong usage.
int BenchMain(int argc, char** argv);

}  // namespace berth

#endif  // BERTH_CLI_TRAIN_MAIN_BENCH_H_
