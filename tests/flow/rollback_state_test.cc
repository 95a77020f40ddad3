// A failed isolation leaves everything as it was: entries, pages, lists, counts (khugepaged.md 5.6, rollback A), whatever
// the reason; and nothing stands in the way of the next attempt.
#include <cstring>
#include <utility>

#include "tests/flow/collapse_flow.h"

namespace collapsar::test {
namespace {

enum class Spoil : std::uint8_t { none, shared, locked, pinned, off_list, unreferenced, read_only };

struct Case {
  const char* version;
  Spoil spoil;
  ScanResult why;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.version << " " << name_of(c.why); }

// All that a page knows of itself but its neighbours on a list.
struct PageState {
  std::uint32_t mapcount = 0, mapping = 0, slot = 0, extra = 0;
  std::uint16_t flags = 0;
  std::uint64_t index = 0, use = 0, order = 0;
  bool operator==(const PageState&) const = default;
};

struct State {
  std::array<Pte, kHugePages> ptes{};
  std::vector<PageState> pages;  // by entry
  std::array<std::uint64_t, 4> lists{};
  std::uint64_t entries = 0, anon_rss = 0, file_rss = 0, swap_entries = 0, huge_pages = 0, tables = 0, free_pages = 0;
  bool operator==(const State&) const = default;
};

BenchConfig strict(const std::string& version) {
  BenchConfig config = config_of_flow(version);
  config.kernel.khugepaged.max_ptes_none = 20;
  return config;
}

class RollbackState : public testing::TestWithParam<Case> {
 protected:
  static constexpr std::uint64_t kSpoilt = 310, kAbsent = 15;
  void SetUp() override {
    layout.vma(kBase, kHugeBytes);
    theirs.vma(kBase, kHugeBytes);
    layout.pages(kBase, kHugePages - kAbsent);
    layout.zero_page(at(kHugePages - 1));
    table = &mm().table().pte_table(kBase);
    for (std::uint64_t i = 0; i < kHugePages - kAbsent; ++i) make_different(i);
  }
  // So that whatever is lost shows.
  void make_different(std::uint64_t i) {
    Pte& pte = (*table)[i];
    Frame& page = bench.memory.frame(pte.pfn());
    if (i % 4 == 1) pte.clear(Pte::kAccessed);
    if (i % 4 == 2) pte.clear(Pte::kWritable);
    if (i % 4 == 3) pte.clear(Pte::kDirty);
    if (i % 5 == 1) bench.kernel.reclaim().activate(pte.pfn());
    if (i % 5 == 2) page.set(Frame::kReferenced);
    if (i % 5 == 3) page.set(Frame::kDirty);
    if (i % 7 == 3) page.set(Frame::kUnevictable);
    if (i % 50 == 4) theirs.share(at(i), pte.pfn());
    if (i % 50 == 4) pte.clear(Pte::kWritable | Pte::kSoftExclusive);
  }
  AddressSpace& mm() { return *space; }

  State state() {
    State s;
    s.ptes = *table;
    for (const Pte pte : *table) s.pages.push_back(pte.present() && !pte.zero_page() ? of(pte.pfn()) : PageState{});
    const Lru& lru = bench.kernel.reclaim().lru();
    s.lists = {lru.pages(Lru::Kind::anon, false), lru.pages(Lru::Kind::anon, true), lru.pages(Lru::Kind::file, false),
               lru.pages(Lru::Kind::file, true)};
    s.entries = lru.entries();
    s.anon_rss = mm().anon_rss, s.file_rss = mm().file_rss, s.swap_entries = mm().swap_entries;
    s.huge_pages = mm().huge_pages, s.tables = mm().table().table_pages();
    s.free_pages = bench.memory.free_pages();
    return s;
  }
  PageState of(Pfn pfn) const {
    const Frame& f = bench.memory.frame(pfn);
    const std::uint32_t slot = f.is(Frame::kSwapCache) ? bench.memory.swap_slot(pfn) : 0;
    return {f.mapcount, f.mapping, slot, f.extra_references(), f.flags, f.index, f.use, f.order};
  }

  // Between the scan and the isolation.
  void spoil() {
    const Pfn page = (*table)[kSpoilt].pfn();
    switch (GetParam().spoil) {
      case Spoil::none:
        for (std::uint64_t i = kSpoilt; i < kSpoilt + 10; ++i)
          bench.kernel.rmap().drop_mapping(mm(), std::exchange((*table)[i], {}));
        return;
      case Spoil::shared:
        for (std::uint64_t i = 0; i < 300; ++i)
          if (i % 50 != 4) theirs.share(at(i), (*table)[i].pfn());
        return;
      case Spoil::locked: return bench.memory.frame(page).set(Frame::kLocked);
      case Spoil::pinned: ++bench.memory.frame(page).pins; return;
      case Spoil::off_list: ASSERT_TRUE(bench.kernel.reclaim().isolate(page)); return;
      case Spoil::unreferenced: return clear_all(Pte::kAccessed);
      case Spoil::read_only: return clear_all(Pte::kWritable);
    }
  }
  void clear_all(std::uint64_t bits) {
    for (Pte& pte : *table) {
      if (pte.none() || pte.zero_page()) continue;
      pte.clear(bits);
      bench.memory.frame(pte.pfn()).clear(Frame::kReferenced);
    }
  }
  // Multi-generation lists do not know of a page that comes back that it was referenced, unless it is unevictable.
  void forget_references(State& s) {
    if (!bench.kernel.context().rules.multi_gen_lru) return;
    for (std::uint64_t i = 0; i < kHugePages; ++i) {
      const Pte pte = (*table)[i];
      if (!pte.present() || pte.zero_page() || (GetParam().spoil == Spoil::off_list && i == kSpoilt)) continue;
      const Frame& page = bench.memory.frame(pte.pfn());
      if (!page.is(Frame::kIsolated) || page.is(Frame::kUnevictable)) continue;
      s.pages[i].flags &= std::uint16_t(~Frame::kReferenced);
    }
  }
  // False: it cannot be taken back.
  bool unspoil() {
    const Pfn page = (*table)[kSpoilt].pfn();
    switch (GetParam().spoil) {
      case Spoil::none:
      case Spoil::shared: return false;
      case Spoil::locked: bench.memory.frame(page).clear(Frame::kLocked); return true;
      case Spoil::pinned: --bench.memory.frame(page).pins; return true;
      case Spoil::off_list: bench.kernel.reclaim().putback(page); return true;
      case Spoil::unreferenced: (*table)[0].set(Pte::kAccessed); return true;
      case Spoil::read_only: (*table)[0].set(Pte::kWritable); return true;
    }
    return false;
  }
  void start() {
    request.mm = &mm();
    request.base = kBase;
    request.done = &done.event;
    done.count = 0;
    ASSERT_TRUE(mm().mmap_lock().try_read());
    bench.kernel.collapse().scan_and_collapse(request);
  }

  KernelBench bench{strict(GetParam().version)};
  TaskId task = bench.process(1), other = bench.process(2);
  AddressSpace* space = &bench.mm(task);
  Layout layout{bench, task}, theirs{bench, other};
  std::array<Pte, kHugePages>* table = nullptr;
  Signal done{bench.queue, Phase::kernel};
  Collapse::Request request;
};

TEST_P(RollbackState, IsThatOfBefore) {
  const State whole = state();
  start();
  while (!mm().table().pmd(kBase)->none()) ASSERT_TRUE(bench.queue.run_one());
  spoil();
  if (HasFatalFailure()) return;
  State spoilt = state();
  EXPECT_EQ(spoilt.free_pages + kHugePages, whole.free_pages + (GetParam().spoil == Spoil::none ? 10 : 0))
      << "the new huge page is there";
  spoilt.free_pages += kHugePages;
  while (!request.isolate) ASSERT_TRUE(bench.queue.run_one());
  forget_references(spoilt);
  bench.run_until(done);
  EXPECT_EQ(request.result, GetParam().why);
  ASSERT_TRUE(request.isolate.has_value()) << "it came as far as the isolation";
  ASSERT_TRUE(mm().table().pmd_is_table(kBase));
  EXPECT_EQ(&mm().table().pte_table(kBase), table) << "the same table";
  const State after = state();
  EXPECT_EQ(after.ptes, spoilt.ptes);
  for (std::uint64_t i = 0; i < kHugePages; ++i) EXPECT_EQ(after.pages[i], spoilt.pages[i]) << "entry " << i;
  EXPECT_EQ(after.lists, spoilt.lists);
  EXPECT_EQ(after, spoilt);
  EXPECT_FALSE(mm().mmap_lock().write_locked() || mm().mmap_lock().read_locked());
  const bool can_go_on = unspoil();
  bench.kernel.check();
  if (!can_go_on) return;
  start();
  bench.run_until(done);
  EXPECT_EQ(request.result, ScanResult::SUCCEED) << "the next attempt";
  bench.kernel.check();
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const char* version : {"6.1", "6.12"})
    for (const auto& [spoil, why] :
         {std::pair{Spoil::none, ScanResult::EXCEED_NONE_PTE}, std::pair{Spoil::shared, ScanResult::EXCEED_SHARED_PTE},
          std::pair{Spoil::locked, ScanResult::PAGE_LOCK}, std::pair{Spoil::pinned, ScanResult::PAGE_COUNT},
          std::pair{Spoil::off_list, ScanResult::DEL_PAGE_LRU},
          std::pair{Spoil::unreferenced, ScanResult::LACK_REFERENCED_PAGE},
          std::pair{Spoil::read_only, ScanResult::PAGE_RO}})
      cases.push_back({version, spoil, why});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Kernels, RollbackState, testing::ValuesIn(all_cases()));

}  // namespace
}  // namespace collapsar::test
