#include "openb_bounds.h"

namespace berth {
namespace {

INSTANTIATE_TEST_SUITE_P(Full, PublishedBounds, ::testing::Values("gpuspec33", "cpu250", "multigpu50", "gpushare40", "gpuspec10", "multigpu20"));
INSTANTIATE_TEST_SUITE_P(Full, PublishedChurnBounds, ::testing::Values("gpuspec33", "cpu250"));

}  // namespace
}  // namespace berth
