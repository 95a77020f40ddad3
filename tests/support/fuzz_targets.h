// Fuzz targets: each gives some bytes to one reader as a file. What the reader refuses is good; anything else is a find.
//
// Used by tests/fuzz (libFuzzer) and by the unit test that replays the corpora.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace collapsar::testing {

struct FuzzTarget {
  std::string_view name;  // of its corpus, too
  void (*run)(std::span<const std::uint8_t> bytes);
};

std::span<const FuzzTarget> fuzz_targets();
const FuzzTarget* find_fuzz_target(std::string_view name);

}  // namespace collapsar::testing
