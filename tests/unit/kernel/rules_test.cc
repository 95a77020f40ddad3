#include "models/kernel/rules.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

TEST(Rules, AreFoundByVersion) {
  ASSERT_NE(find_rules("6.1"), nullptr);
  ASSERT_NE(find_rules("6.12"), nullptr);
  EXPECT_EQ(find_rules("6.1")->version, "6.1");
  EXPECT_EQ(find_rules("6.12")->version, "6.12");
}

TEST(Rules, AnUnknownVersionHasNone) {
  EXPECT_EQ(find_rules("6.2"), nullptr);
  EXPECT_EQ(find_rules("6.1.119"), nullptr);
  EXPECT_EQ(find_rules(""), nullptr);
}

// khugepaged.md 4.2, 5.1, 6, 9.
TEST(Rules, DifferWhereTheKernelsDo) {
  const Rules& old = *find_rules("6.1");
  const Rules& recent = *find_rules("6.12");
  EXPECT_TRUE(old.needs_writable_pte);
  EXPECT_TRUE(recent.needs_writable_pte);
  EXPECT_FALSE(old.shared_per_folio);
  EXPECT_TRUE(recent.shared_per_folio);
  EXPECT_FALSE(old.anon_check_early);
  EXPECT_TRUE(recent.anon_check_early);
  EXPECT_FALSE(old.per_vma_locks);
  EXPECT_TRUE(recent.per_vma_locks);
  EXPECT_FALSE(old.skips_disabled_mm);
  EXPECT_TRUE(recent.skips_disabled_mm);
  EXPECT_FALSE(old.none_pte_errno_is_busy);
  EXPECT_TRUE(recent.none_pte_errno_is_busy);
}

}  // namespace
}  // namespace collapsar
