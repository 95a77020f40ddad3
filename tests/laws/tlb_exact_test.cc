// With one miss at a time and the trace's own order, TLB counts equal those of a plain functional model, exactly.
#include <gtest/gtest.h>

#include "tests/laws/plain_tlb.h"
#include "tests/support/cpu_bench.h"

namespace collapsar::test {
namespace {

// --- random geometries ---

struct Region {
  std::uint64_t start, pages;
  bool is_clean;
};
// One region for each page size and state; sizes do not overlap.
constexpr Region kRegions[kSizes][2] = {{{1ULL << 32, 3000, false}, {1ULL << 33, 600, true}},
                                        {{1ULL << 36, 300, false}, {1ULL << 37, 60, true}},
                                        {{1ULL << 40, 9, false}, {1ULL << 41, 5, true}}};

class Geometry {
 public:
  explicit Geometry(std::uint64_t seed) : random_(seed, "geometry") {
    make_level(mmu.l1i, plain.l1i, 16, false);
    make_level(mmu.l1d, plain.l1d, 16, true);
    plain.is_split = chance(30);
    make_level(plain.is_split ? mmu.l2d : mmu.l2, plain.l2d, 160, false);
    mmu.l2i.clear();
    if (plain.is_split) make_level(mmu.l2i, plain.l2i, 80, false);
    plain.has_asids = mmu.asids = chance(70);
    mmu.levels = chance(20) ? 5 : 4;
  }
  bool chance(unsigned percent) { return random_.below(100) < percent; }
  std::uint64_t below(std::uint64_t n) { return random_.below(n); }

  MmuConfig mmu;
  PlainTlb plain;

 private:
  // No second level tells loads from stores: the model has one dirty bit for a page, not one for each copy.
  // Each size gets an array of its own, shares one with others, has two that act as one, or (not 4K) none.
  void make_level(std::vector<TlbArrayConfig>& arrays, PlainLevel& level, unsigned most_sets, bool may_split) {
    arrays.clear();
    const bool is_split = may_split && chance(20);
    for (unsigned size = 0; size < kSizes; ++size) {
      const unsigned form = unsigned(below(10));
      if (size > 0 && form == 0) continue;
      const auto sets = std::uint32_t(1 + below(most_sets));
      if (size > 0 && form <= 4) {
        TlbArrayConfig& shared = arrays.back();
        shared.pages.push_back(PageSize(size));
        shared.ways[PageSize(size)] = std::uint32_t(1 + below(8));
        continue;
      }
      for (const TlbAccess access :
           is_split ? std::vector{TlbAccess::load, TlbAccess::store} : std::vector{TlbAccess::any})
        for (unsigned copies = form == 9 ? 2 : 1; copies > 0; --copies) {
          TlbArrayConfig a;
          a.pages = {PageSize(size)}, a.sets = sets, a.access = access;
          a.ways[PageSize(size)] = std::uint32_t(1 + below(8));
          arrays.push_back(a);
        }
    }
    for (const TlbArrayConfig& a : arrays) {
      PlainArray p;
      p.sets = a.sets, p.loads = a.access != TlbAccess::store, p.stores = a.access != TlbAccess::load;
      for (const auto& [size, ways] : a.ways) p.ways[unsigned(size)] = ways;
      level.arrays.push_back(p);
    }
  }
  Random random_;
};

// --- the same references for both ---

struct Reference {
  std::uint64_t va;
  unsigned size;
  RefKind kind;
  std::uint16_t bytes;
};

Reference random_reference(Geometry& g) {
  const auto size = unsigned(g.below(kSizes));
  const Region& region = kRegions[size][g.chance(30)];
  // Some pages are more popular than others.
  const std::uint64_t room = region.pages - 2;  // for a long reference that starts in the last of them
  const std::uint64_t pages = g.chance(60) ? std::min<std::uint64_t>(room, 1 + g.below(20)) : room;
  Reference r;
  r.va = region.start + g.below(pages << kShift[size]);
  r.size = size, r.bytes = g.chance(5) ? std::uint16_t(1 + g.below(8000)) : 8;
  r.kind = RefKind(g.below(6));
  return r;
}

void access_all_pages(PlainTlb& plain, const Reference& r) {
  const bool is_store = r.kind == RefKind::store || r.kind == RefKind::modify || r.kind == RefKind::kernel_write;
  for (std::uint64_t page = r.va >> 12; page <= (r.va + r.bytes - 1) >> 12; ++page)
    plain.access(page << 12, r.size, r.kind == RefKind::fetch, is_store);
}

void premap(PaperKernel& kernel, std::uint32_t pid) {
  for (unsigned size = 0; size < kSizes; ++size)
    for (const Region& region : kRegions[size])
      kernel.map_range(kernel.process(pid), {region.start}, region.pages << kShift[size], PageSize(size),
                       region.is_clean ? PaperKernel::kClean : PaperKernel::kReady);
}

void expect_equal(const TlbStats& model, const PlainLevel& plain, const char* level, std::uint64_t seed) {
  for (unsigned size = 0; size < kSizes; ++size) {
    EXPECT_EQ(model.hits_by[size], plain.hits[size]) << level << " hits, size " << size << ", geometry " << seed;
    EXPECT_EQ(model.misses_by[size], plain.misses[size]) << level << " misses, size " << size << ", geometry " << seed;
  }
  EXPECT_EQ(model.hits, plain.hits[0] + plain.hits[1] + plain.hits[2]);
  EXPECT_EQ(model.misses, plain.misses[0] + plain.misses[1] + plain.misses[2]);
}

// The kinds of walk: those of the machine, one at a time; those of fixed length, which may overlap but never merge; those that
// take no time, which are done on the path of a hit.
enum class Walks { timed, fixed, free };
constexpr std::uint32_t kFixedWalk = 30;

void set_walks(CpuBenchConfig& config, Walks walks) {
  if (walks == Walks::timed) config.cpu.outstanding = 1;
  if (walks == Walks::fixed) config.mmu.fixed_walk = kFixedWalk;
  if (walks == Walks::free) config.mmu.fixed_walk = config.mmu.l2_latency = 0;
}

void compare(std::uint64_t seed, Walks walks) {
  Geometry g(seed);
  PlainTlb& plain = g.plain;
  for (unsigned size = 0; size < kSizes; ++size)
    for (const Region& region : kRegions[size])
      for (std::uint64_t page = 0; page < region.pages && !region.is_clean; ++page)
        for (std::uint32_t pid : {1, 2})
          plain.is_dirty[plain_key(pid, size, (region.start >> kShift[size]) + page)] = true;
  PaperTrace trace;
  trace.process(1), trace.process(2);
  for (unsigned run = 0; run < 12; ++run) {
    const std::uint32_t pid = 1 + run % 2;
    plain.run(pid);
    std::vector<Record> records;
    for (unsigned i = 0; i < 900; ++i) {
      const Reference r = random_reference(g);
      access_all_pages(plain, r);
      records.push_back({r.va, 2, r.bytes, r.kind, 0});
    }
    trace.run(pid, 1, records);
  }
  CpuBenchConfig config;
  config.mmu = g.mmu;
  config.cpu.interleave = Interleave::trace;
  set_walks(config, walks);
  if (g.chance(30)) config.caches = CachesConfig{};
  CpuBench bench(config, std::move(trace));
  bench.prepare();
  for (const std::uint32_t pid : {1, 2}) premap(bench.kernel, pid);
  bench.run();

  const MmuStats& m = bench.mmus[0]->stats();
  expect_equal(m.l1i, plain.l1i, "l1i", seed);
  expect_equal(m.l1d, plain.l1d, "l1d", seed);
  if (plain.is_split) expect_equal(m.l2i, plain.l2i, "l2i", seed);
  expect_equal(plain.is_split ? m.l2d : m.l2, plain.l2d, "l2", seed);
  EXPECT_EQ(m.walks, plain.walks);
  EXPECT_EQ(m.walks_repeated, plain.dirty_walks);
  EXPECT_EQ(m.walks_merged, 0U);
  if (walks == Walks::timed) return;
  EXPECT_EQ(m.walk_refs, 0U);
  EXPECT_EQ(m.walk_cycles, m.walks * *config.mmu.fixed_walk);
  EXPECT_LE(m.walk_active_cycles, m.walk_cycles);
}

TEST(TlbExact, CountsEqualThoseOfAPlainModelForFiftyGeometries) {
  for (std::uint64_t seed = 1; seed <= 50 && !HasFailure(); ++seed) compare(seed, Walks::timed);
}

TEST(TlbExact, CountsAreTheSameWithWalksOfFixedLength) {
  for (std::uint64_t seed = 1; seed <= 50 && !HasFailure(); ++seed) compare(seed, Walks::fixed);
}

TEST(TlbExact, CountsAreTheSameWithWalksThatTakeNoTime) {
  for (std::uint64_t seed = 1; seed <= 50 && !HasFailure(); ++seed) compare(seed, Walks::free);
}

}  // namespace
}  // namespace collapsar::test
