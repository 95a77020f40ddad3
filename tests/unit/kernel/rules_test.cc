#include "models/kernel/rules.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "models/kernel/kernel_config.h"

namespace collapsar {
namespace {

TEST(Rules, AreFoundByVersion) {
  for (const char* version : {"6.1", "6.12", "6.18", "6.19", "7.1"}) {
    ASSERT_NE(find_rules(version), nullptr) << version;
    EXPECT_EQ(find_rules(version)->version, version);
  }
}

TEST(Rules, AnUnknownVersionHasNone) {
  EXPECT_EQ(find_rules("6.2"), nullptr);
  EXPECT_EQ(find_rules("6.1.119"), nullptr);
  EXPECT_EQ(find_rules(""), nullptr);
}

std::string complaint_about(const KernelConfig& config) {
  try {
    config.validate();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return {};
}

TEST(Rules, AnUnknownVersionIsAnErrorThatNamesTheKnownOnes) {
  KernelConfig config;
  config.version = "6.2";
  EXPECT_EQ(complaint_about(config), "version: 6.2 is not known; known are 6.1, 6.12, 6.18, 6.19, 7.1");
}

TEST(Rules, ControlsPerSizeCameWith6_12) {
  KernelConfig config;
  config.thp.pmd_size.enabled = SizeEnabled::never;
  config.version = "6.12";
  EXPECT_EQ(complaint_about(config), "");
  config.version = "6.1";
  EXPECT_EQ(complaint_about(config), "thp.hugepages-2048kB.enabled: kernel 6.1 has no controls per size");
}

// The columns of khugepaged.md 4.4; -1: no such result.
TEST(Rules, NumberResultsAsTheTracepointsDo) {
  using enum ScanResult;
  struct Row {
    ScanResult result;
    std::array<int, 5> codes;
  };
  const std::vector<Row> rows{{FAIL, {0, 0, 0, 0, 0}},
                              {SUCCEED, {1, 1, 1, 1, 1}},
                              {PMD_NULL, {2, 2, 2, -1, -1}},
                              {PMD_NONE, {3, 3, 3, -1, -1}},
                              {NO_PTE_TABLE, {-1, -1, -1, 2, 2}},
                              {PMD_MAPPED, {4, 4, 4, 3, 3}},
                              {EXCEED_NONE_PTE, {5, 5, 5, 4, 4}},
                              {EXCEED_SWAP_PTE, {6, 6, 6, 5, 5}},
                              {EXCEED_SHARED_PTE, {7, 7, 7, 6, 6}},
                              {PTE_NON_PRESENT, {8, 8, 8, 7, 7}},
                              {PTE_UFFD_WP, {9, 9, 9, 8, 8}},
                              {PTE_MAPPED_HUGEPAGE, {10, 10, 10, 9, 9}},
                              {PAGE_RO, {11, 11, -1, -1, -1}},
                              {LACK_REFERENCED_PAGE, {12, 12, 11, 10, 10}},
                              {PAGE_NULL, {13, 13, 12, 11, 11}},
                              {SCAN_ABORT, {14, 14, 13, 12, 12}},
                              {PAGE_COUNT, {15, 15, 14, 13, 13}},
                              {PAGE_LRU, {16, 16, 15, 14, 14}},
                              {PAGE_LOCK, {17, 17, 16, 15, 15}},
                              {PAGE_ANON, {18, 18, 17, 16, 16}},
                              {PAGE_LAZYFREE, {-1, -1, -1, -1, 17}},
                              {PAGE_COMPOUND, {19, 19, 18, 17, 18}},
                              {ANY_PROCESS, {20, 20, 19, 18, 19}},
                              {VMA_NULL, {21, 21, 20, 19, 20}},
                              {VMA_CHECK, {22, 22, 21, 20, 21}},
                              {ADDRESS_RANGE, {23, 23, 22, 21, 22}},
                              {DEL_PAGE_LRU, {24, 24, 23, 22, 23}},
                              {ALLOC_HUGE_PAGE_FAIL, {25, 25, 24, 23, 24}},
                              {CGROUP_CHARGE_FAIL, {26, 26, 25, 24, 25}},
                              {TRUNCATED, {27, 27, 26, 25, 26}},
                              {PAGE_HAS_PRIVATE, {28, 28, 27, 26, 27}},
                              {STORE_FAILED, {29, 29, 28, 27, 28}},
                              {COPY_MC, {-1, 30, 29, 28, 29}},
                              {PAGE_FILLED, {-1, 31, 30, 29, 30}},
                              {PAGE_DIRTY_OR_WRITEBACK, {-1, -1, -1, -1, 31}}};
  EXPECT_EQ(rows.size(), kScanResults);
  for (const Row& row : rows)
    for (std::size_t i = 0; i < kRules.size(); ++i)
      EXPECT_EQ(trace_code(row.result, kRules[i]), row.codes[i]) << name_of(row.result) << " " << kRules[i].version;
}

TEST(Rules, NamesAreTheKernels) {
  EXPECT_EQ(name_of(ScanResult::PAGE_RO), "SCAN_PAGE_RO");
  EXPECT_EQ(trace_name(ScanResult::PAGE_RO), "no_writable_page");
  EXPECT_EQ(trace_name(ScanResult::CGROUP_CHARGE_FAIL), "ccgroup_charge_failed");
  EXPECT_EQ(trace_name(ScanResult::PAGE_DIRTY_OR_WRITEBACK), "page_dirty_or_writeback");
}

}  // namespace
}  // namespace collapsar
