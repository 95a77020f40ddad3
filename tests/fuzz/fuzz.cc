// The libFuzzer program: FUZZ_TARGET in the environment names the reader; see README.md beside.
#include <cstdio>
#include <cstdlib>

#include "tests/support/fuzz_targets.h"

namespace {

const collapsar::testing::FuzzTarget* target = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("FUZZ_TARGET");
  target = collapsar::testing::find_fuzz_target(name ? name : "");
  if (target) return 0;
  std::fputs("FUZZ_TARGET must name one of:", stderr);
  for (const auto& t : collapsar::testing::fuzz_targets())
    std::fprintf(stderr, " %.*s", static_cast<int>(t.name.size()), t.name.data());
  std::fputs("\n", stderr);
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  target->run({data, size});
  return 0;
}
