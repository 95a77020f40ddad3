// The kernel versions, as parameters of tests: INSTANTIATE_TEST_SUITE_P(Versions, X, all_versions()).
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "models/kernel/rules.h"

namespace collapsar::test {

inline auto all_versions() { return testing::Values("6.1", "6.12", "6.18", "6.19", "7.1"); }

// `version` is `first` or later.
inline bool is_since(std::string_view version, std::string_view first) {
  return find_rules(version) >= find_rules(first);
}

}  // namespace collapsar::test
