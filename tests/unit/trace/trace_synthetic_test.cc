#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "sim/trace/trace_patterns.h"
#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;
using Kind = SyntheticPattern::Kind;

FlatTrace generate(const std::vector<SyntheticPattern>& patterns, std::uint64_t seed = 1) {
  const std::unique_ptr<TraceSource> source = make_synthetic(patterns, seed);
  FlatTrace flat = read_flat(*source);
  EXPECT_EQ(source->info().references, flat.references.size());
  EXPECT_EQ(source->info().events, flat.events.size());
  source->rewind();
  EXPECT_TRUE(read_flat(*source) == flat);
  return flat;
}

std::vector<std::uint64_t> offsets(const FlatTrace& flat) {
  const auto map =
      std::find_if(flat.events.begin(), flat.events.end(), [](const TraceEvent& e) { return e.op == Op::mmap; });
  std::vector<std::uint64_t> found;
  for (const auto& r : flat.references) found.push_back(r.record.va - map->address);
  return found;
}

TEST(Synthetic, TouchGoesOverEveryPageOnce) {
  const FlatTrace flat = generate({{.pattern = Kind::touch, .footprint = {3 * kMiB}, .write = true}});
  const std::vector<std::uint64_t> at = offsets(flat);
  ASSERT_EQ(at.size(), 768u);
  for (std::size_t i = 0; i < at.size(); ++i) EXPECT_EQ(at[i], i * kPageBytes);
  EXPECT_EQ(flat.references[0].record, (Record{flat.events[1].address, 4, 8, RefKind::store, 0}));
}

TEST(Synthetic, TouchGoesOverHugetlbPagesOnce) {
  const FlatTrace flat = generate({{.footprint = {8 * kMiB}, .page = PageSize::k2M}});
  EXPECT_EQ(offsets(flat), (std::vector<std::uint64_t>{0, 2 * kMiB, 4 * kMiB, 6 * kMiB}));
  EXPECT_TRUE(flat.events[1].map_flags & 0x40000);
  EXPECT_EQ(flat.events[1].map_flags >> 26, 21u);
}

TEST(Synthetic, SparseTouchesTheFirstPagesOfEveryRange) {
  const FlatTrace flat = generate({{.pattern = Kind::sparse, .footprint = {4 * kMiB}, .pages_per_range = 2}});
  EXPECT_EQ(offsets(flat), (std::vector<std::uint64_t>{0, 4096, 2 * kMiB, 2 * kMiB + 4096}));
}

TEST(Synthetic, EveryPatternStaysInTheFirstPagesOfItsRanges) {
  for (const Kind kind :
       {Kind::touch, Kind::sequential, Kind::stride, Kind::random, Kind::zipf, Kind::chase, Kind::sparse}) {
    const FlatTrace flat =
        generate({{.pattern = kind, .footprint = {5 * kMiB}, .references = 3000, .pages_per_range = 3}});
    for (const std::uint64_t offset : offsets(flat)) {
      ASSERT_LT(offset % kHugeBytes, 3 * kPageBytes);
      ASSERT_LT(offset, 5 * kMiB);
    }
  }
}

TEST(Synthetic, SequentialAndStrideWrap) {
  const FlatTrace sequential =
      generate({{.pattern = Kind::sequential, .footprint = {4096}, .references = 513, .size = 8}});
  EXPECT_EQ(offsets(sequential)[511], 4088u);
  EXPECT_EQ(offsets(sequential)[512], 0u);
  const FlatTrace stride = generate({{.pattern = Kind::stride, .footprint = {4096}, .stride = {1000}}});
  EXPECT_EQ(offsets(stride), (std::vector<std::uint64_t>{0, 1000, 2000, 3000, 4000}));
}

TEST(Synthetic, RandomIsUniformAndAligned) {
  const FlatTrace flat =
      generate({{.pattern = Kind::random, .footprint = {64 * kPageBytes}, .references = 64'000, .size = 16}});
  std::map<std::uint64_t, int> pages;
  for (const std::uint64_t offset : offsets(flat)) {
    ASSERT_EQ(offset % 16, 0u);
    ++pages[offset / kPageBytes];
  }
  ASSERT_EQ(pages.size(), 64u);
  for (const auto& [page, count] : pages) EXPECT_NEAR(count, 1000, 6 * std::sqrt(1000.0));
}

TEST(Synthetic, ChaseVisitsEveryLineOncePerRoundAndDepends) {
  const FlatTrace flat = generate({{.pattern = Kind::chase, .footprint = {300 * kPageBytes}}});
  const std::vector<std::uint64_t> at = offsets(flat);
  ASSERT_EQ(at.size(), 300u * 64);
  EXPECT_EQ(std::set<std::uint64_t>(at.begin(), at.end()).size(), at.size());
  std::size_t neighbours = 0;
  for (std::size_t i = 1; i < at.size(); ++i) neighbours += at[i] / kPageBytes == at[i - 1] / kPageBytes;
  EXPECT_LT(neighbours, at.size() / 50);
  for (const auto& r : flat.references) ASSERT_EQ(r.record.flags, Record::kDependsOnLoad);
}

TEST(Synthetic, ALinkOfAChaseHoldsOneReference) {
  const FlatTrace flat = generate({{.pattern = Kind::chase, .footprint = {16 * kPageBytes}, .size = 4096}});
  const std::vector<std::uint64_t> at = offsets(flat);
  ASSERT_EQ(at.size(), 16u);
  for (const std::uint64_t offset : at) EXPECT_EQ(offset % kPageBytes, 0u);
}

TEST(Zipf, GivesEveryRankItsShare) {
  constexpr std::uint64_t kMembers = 1000, kDraws = 2'000'000;
  const Zipf zipf(kMembers, 0.99);
  Random random(1, "test");
  std::map<std::uint64_t, double> counts;
  for (std::uint64_t i = 0; i < kDraws; ++i) ++counts[zipf.next(random)];
  double sum = 0;
  for (std::uint64_t r = 1; r <= kMembers; ++r) sum += std::pow(static_cast<double>(r), -0.99);
  std::vector<double> sorted;
  for (const auto& [member, count] : counts) sorted.push_back(count);
  std::sort(sorted.rbegin(), sorted.rend());
  ASSERT_EQ(sorted.size(), kMembers);
  for (const std::size_t rank : {1u, 2u, 5u, 20u, 100u}) {
    EXPECT_NEAR(sorted[rank - 1] / kDraws, std::pow(static_cast<double>(rank), -0.99) / sum,
                0.03 * sorted[rank - 1] / kDraws);
  }
}

TEST(Power, AgreesWithTheLibraryClosely) {
  for (const double x : {1.0, 1.5, 2.0, 10.0, 12345.0, 1e12}) {
    for (const double y : {-3.0, -0.99, 0.0, 0.5, 2.0}) EXPECT_NEAR(power(x, y) / std::pow(x, y), 1, 1e-12);
  }
}

TEST(Synthetic, SameSeedSameTraceOtherSeedAnother) {
  const std::vector<SyntheticPattern> patterns{{.pattern = Kind::random, .footprint = {kGiB}, .references = 70'000}};
  EXPECT_TRUE(generate(patterns, 5) == generate(patterns, 5));
  EXPECT_FALSE(generate(patterns, 5) == generate(patterns, 6));
  EXPECT_EQ(make_synthetic(patterns, 5)->info().hash, make_synthetic(patterns, 5)->info().hash);
  EXPECT_NE(make_synthetic(patterns, 5)->info().hash, make_synthetic(patterns, 6)->info().hash);
}

TEST(Synthetic, LaysOutRegionsApartAndRunsEntriesInOrder) {
  const FlatTrace flat =
      generate({{.footprint = {kMiB}},
                {.footprint = {kMiB}, .region = "other", .madvise = "hugepage"},
                {.pattern = Kind::idle, .time = std::chrono::seconds(60)},
                {.pattern = Kind::random, .footprint = {2 * kMiB}, .references = 10, .clear_accessed = true},
                {.footprint = {kMiB}, .process = 2}});
  std::vector<Op> ops;
  for (const TraceEvent& e : flat.events) ops.push_back(e.op);
  EXPECT_EQ(ops, (std::vector<Op>{Op::process, Op::process, Op::mmap, Op::mmap, Op::mmap, Op::madvise, Op::idle,
                                  Op::clear_refs}));
  EXPECT_EQ(flat.events[2].length, 2 * kMiB);  // the largest of its entries
  EXPECT_EQ(flat.events[2].address % kHugeBytes, 0u);
  EXPECT_GT(flat.events[3].address, flat.events[2].address + flat.events[2].length);
  EXPECT_EQ(flat.events[5].index, 256u);
  EXPECT_EQ(flat.events[5].advice, 14u);
  EXPECT_EQ(flat.events[6].value, 60'000'000'000u);
  EXPECT_EQ(flat.events[6].index, 512u);
  EXPECT_EQ(flat.references.back().pid, 2u);
}

TEST(Synthetic, RefusesWhatCannotBe) {
  const auto error_of = [](const SyntheticPattern& p) -> std::string {
    try {
      make_synthetic({p}, 1);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_NE(error_of({}).find("trace.synthetic[0].footprint"), std::string::npos);
  EXPECT_NE(error_of({.footprint = {kMiB}, .size = 0}).find(".size"), std::string::npos);
  EXPECT_NE(error_of({.footprint = {kMiB}, .pages_per_range = 513}).find(".pages_per_range"), std::string::npos);
  EXPECT_NE(error_of({.footprint = {kMiB}, .madvise = "hugpage"}).find("'hugpage' is unknown"), std::string::npos);
  EXPECT_NE(error_of({.pattern = Kind::idle}).find(".time"), std::string::npos);
  EXPECT_NE(error_of({.pattern = Kind::stride, .footprint = {kMiB}, .stride = {0}}).find(".stride"), std::string::npos);
}

}  // namespace
}  // namespace collapsar
