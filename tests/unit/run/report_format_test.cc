#include "sim/run/report_format.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

TEST(ReportFormat, SeparatesThousands) {
  EXPECT_EQ(with_separators(0), "0");
  EXPECT_EQ(with_separators(999), "999");
  EXPECT_EQ(with_separators(1000), "1,000");
  EXPECT_EQ(with_separators(199'687'753), "199,687,753");
}

TEST(ReportFormat, PicksTheUnit) {
  EXPECT_EQ(readable_time(0), "0 ns");
  EXPECT_EQ(readable_time(438'000), "438 us");
  EXPECT_EQ(readable_time(120.1e9), "120.1 s");
  EXPECT_EQ(readable_bytes(512), "512 B");
  EXPECT_EQ(readable_bytes(263'720 * kKiB), "257.5 MiB");
  EXPECT_EQ(readable_share(0.427), "42.7 %");
}

TEST(ReportFormat, TellsTheDifference) {
  EXPECT_EQ(readable_difference(100, 57, NumberFormat::count), "-43.0 %");
  EXPECT_EQ(readable_difference(100, 100, NumberFormat::count), "=");
  EXPECT_EQ(readable_difference(0, 8, NumberFormat::count), "new");
  EXPECT_EQ(readable_difference(2, 25, NumberFormat::bytes), "x12.5");
  EXPECT_EQ(readable_difference(0.25, 0.5, NumberFormat::share), "+25.0 pt");
}

TEST(ReportFormat, CountsCharactersNotBytes) {
  EXPECT_EQ(pad_right("\xC3\xA9", 3), "\xC3\xA9  ");
  EXPECT_EQ(pad_left("abcd", 3), "abcd");
}

}  // namespace
}  // namespace collapsar
