#include "sim/core/units.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "sim/core/random.h"

namespace collapsar {
namespace {

using namespace std::chrono_literals;

template <class Parse>
std::string parse_refusal(Parse parse, std::string_view text) {
  try {
    parse(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Units, DurationsAreReadExactly) {
  EXPECT_EQ(parse_duration("0"), Duration(0));
  EXPECT_EQ(parse_duration("7ps"), Duration(7));
  EXPECT_EQ(parse_duration("10ms"), 10ms);
  EXPECT_EQ(parse_duration("80us"), 80us);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("2min"), 2min);
  EXPECT_EQ(parse_duration("24h"), 24h);
  EXPECT_EQ(parse_duration("0.174us"), 174ns);
  EXPECT_EQ(parse_duration("1_000ns"), 1us);
  EXPECT_EQ(parse_duration("9223372036854775807ps"), Duration::max());
}

TEST(Units, RefusedDurationsSayWhatWouldBeRight) {
  EXPECT_EQ(parse_refusal(parse_duration, "10"), "10 has no unit; write 10ns or 10ms");
  EXPECT_EQ(parse_refusal(parse_duration, "010ms"), "010ms starts with 0; write 10ms");
  EXPECT_EQ(parse_refusal(parse_duration, "00.5s"), "00.5s starts with 0; write 0.5s");
  EXPECT_EQ(parse_refusal(parse_duration, "-5s"), "-5s is negative; write for example 10ms");
  EXPECT_EQ(parse_refusal(parse_duration, "soon"), "soon is not a number; write for example 10ms");
  EXPECT_EQ(parse_refusal(parse_duration, ""), "nothing is not a number; write for example 10ms");
  EXPECT_EQ(parse_refusal(parse_duration, "1.s"), "1.s is not a number; write for example 10ms");
  EXPECT_EQ(parse_refusal(parse_duration, "3sec"), "3sec has an unknown unit sec; units are ps ns us ms s min h");
  EXPECT_EQ(parse_refusal(parse_duration, "0.5ps"), "0.5ps is not a whole number of ps");
  EXPECT_EQ(parse_refusal(parse_duration, "3000h"), "3000h is too large; the most is 9223372036854775807ps");
}

TEST(Units, BytesAreReadExactly) {
  EXPECT_EQ(parse_bytes("0"), Bytes{0});
  EXPECT_EQ(parse_bytes("4096B"), Bytes{4096});
  EXPECT_EQ(parse_bytes("2MiB"), Bytes{2 * kMiB});
  EXPECT_EQ(parse_bytes("13.75MiB"), Bytes{14080 * kKiB});
  EXPECT_EQ(parse_bytes("1TiB"), Bytes{kTiB});
}

TEST(Units, RefusedBytesSayWhatWouldBeRight) {
  EXPECT_EQ(parse_refusal(parse_bytes, "65536"), "65536 has no unit; write 64KiB or 65536B");
  EXPECT_EQ(parse_refusal(parse_bytes, "100"), "100 has no unit; write 100B, 100KiB or 100MiB");
  EXPECT_EQ(parse_refusal(parse_bytes, "1.5"), "1.5 has no unit; write 1.5KiB or 1.5MiB");
  EXPECT_EQ(parse_refusal(parse_bytes, "32KB"), "32KB has an unknown unit KB; units are B KiB MiB GiB TiB");
  EXPECT_EQ(parse_refusal(parse_bytes, "0.3KiB"), "0.3KiB is not a whole number of B");
  EXPECT_EQ(parse_refusal(parse_bytes, "-1B"), "-1B is negative; write for example 64KiB");
  EXPECT_EQ(parse_refusal(parse_bytes, "16777216TiB"), "16777216TiB is too large; the most is 18446744073709551615B");
}

TEST(Units, RatesAreTheNearestDouble) {
  EXPECT_EQ(parse_frequency("2.6GHz").hertz, 2.6e9);
  EXPECT_EQ(parse_frequency("1333.33MHz").hertz, 1333.33e6);
  EXPECT_EQ(parse_bandwidth("3GB/s").bytes_per_second, 3e9);
  EXPECT_EQ(parse_bandwidth("2GiB/s").bytes_per_second, 2.0 * kGiB);
  EXPECT_EQ(parse_refusal(parse_frequency, "2.6"), "2.6 has no unit; write 2.6MHz or 2.6GHz");
  EXPECT_EQ(parse_refusal(parse_frequency, "2.6Ghz"), "2.6Ghz has an unknown unit Ghz; units are Hz kHz MHz GHz");
  EXPECT_EQ(parse_refusal(parse_bandwidth, "3"), "3 has no unit; write 3MB/s or 3GB/s");
  EXPECT_EQ(parse_refusal(parse_bandwidth, "3GB"),
            "3GB has an unknown unit GB; units are B/s kB/s MB/s GB/s TB/s KiB/s MiB/s GiB/s TiB/s");
}

TEST(Units, CountsTakeDecimalMultiples) {
  EXPECT_EQ(parse_count("4096"), 4096U);
  EXPECT_EQ(parse_count("200M"), 200'000'000U);
  EXPECT_EQ(parse_count("1.5k"), 1500U);
  EXPECT_EQ(parse_count("1_000"), 1000U);
  EXPECT_EQ(parse_count("0x10"), 16U);
  EXPECT_EQ(parse_count("18446744073709551615"), ~0ULL);
  EXPECT_EQ(parse_refusal(parse_count, "010"), "010 starts with 0; write 10");
  EXPECT_EQ(parse_refusal(parse_count, "-1"), "-1 is negative; write for example 4096 or 200M");
  EXPECT_EQ(parse_refusal(parse_count, "1.5"), "1.5 is not a whole number");
  EXPECT_EQ(parse_refusal(parse_count, "5m"), "5m has an unknown unit m; units are k M G T");
  EXPECT_EQ(parse_refusal(parse_count, "0xg"), "0xg is not a hexadecimal number; write for example 0x10");
  EXPECT_EQ(parse_refusal(parse_count, "18446744073709551616"),
            "18446744073709551616 is too large; the most is 18446744073709551615");
}

TEST(Units, TextIsShort) {
  EXPECT_EQ(to_text(Duration(0)), "0");
  EXPECT_EQ(to_text(Duration(1500)), "1.5ns");
  EXPECT_EQ(to_text(Duration(90s)), "90s");
  EXPECT_EQ(to_text(Duration(1'234'567)), "1234.567ns");
  EXPECT_EQ(to_text(Bytes{14080 * kKiB}), "13.75MiB");
  EXPECT_EQ(to_text(Bytes{1000}), "1000B");
  EXPECT_EQ(to_text(Frequency{2.6e9}), "2.6GHz");
  EXPECT_EQ(to_text(Frequency{50}), "50Hz");
  EXPECT_EQ(to_text(Frequency{0.001}), "0.001Hz");
  EXPECT_EQ(to_text(Bandwidth{1e20}), "100000000TB/s");
  EXPECT_EQ(to_hex(0x1a2b), "0x1a2b");
  EXPECT_EQ(suffix(PageSize::k2M), "2m");
}

TEST(Units, TextParsesBackToTheSameValue) {
  Random random(1, "units");
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t n = random.next() >> random.below(64);
    const Duration d(static_cast<std::int64_t>(n >> 1));
    EXPECT_EQ(parse_duration(to_text(d)), d);
    EXPECT_EQ(parse_bytes(to_text(Bytes{n})), Bytes{n});
    const double rate = random.uniform() * double(n);
    EXPECT_EQ(parse_frequency(to_text(Frequency{rate})), Frequency{rate});
    EXPECT_EQ(parse_bandwidth(to_text(Bandwidth{rate})), Bandwidth{rate});
  }
}

TEST(Units, AClockFindsTheFirstSubcycleThatIsNotBefore) {
  for (double hertz : {1e9, 2.6e9, 3.7e9, 1333.33e6}) {
    const Clock clock(Frequency{hertz});
    for (std::int64_t t : {0LL, 1LL, 2LL, 384LL, 1000LL, 123'456'789LL, 1'000'000'000'000'000LL}) {
      const Time moment{Duration(t)};
      const std::int64_t n = clock.first_not_before(moment);
      EXPECT_GE(clock.time_of(n), moment);
      if (n > 0) {
        EXPECT_LT(clock.time_of(n - 1), moment);
      }
    }
  }
}

TEST(Units, AClockDoesNotDrift) {
  const Clock clock(Frequency{3e9});  // 333.333... ps
  EXPECT_EQ(clock.time_of(3 * Clock::kSubcycles), Time(1ns));
  EXPECT_EQ(clock.time_of(3'000'000'000 * Clock::kSubcycles), Time(1s));
  EXPECT_EQ(clock.duration(Clock::kSubcycles), Duration(333));
}

TEST(Units, RangesAreHalfOpen) {
  const VirtRange range{{0x1000}, {0x3000}};
  EXPECT_TRUE(range.contains({0x1000}));
  EXPECT_FALSE(range.contains({0x3000}));
  EXPECT_FALSE(range.overlaps({{0x3000}, {0x4000}}));
  EXPECT_EQ(range.pages(), 2U);
  EXPECT_TRUE(range.intersect({{0x3000}, {0x4000}}).empty());
  EXPECT_EQ(huge_base({0x3fffff}), VirtAddr{0x200000});
}

}  // namespace
}  // namespace collapsar
