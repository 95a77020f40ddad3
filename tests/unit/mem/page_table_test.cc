#include "models/mem/page_table.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kPageFlags = Pte::kPresent | Pte::kUser | Pte::kWritable;
constexpr VirtAddr kBase{0x7f12'4000'0000};  // 1 GiB aligned

struct PageTableTest : testing::Test {
  PhysicalMemory memory{MemoryConfig{Bytes{256 * kMiB}}};
  PageTable table{memory, 4};

  std::uint64_t used() const { return memory.total_pages() - memory.free_pages(); }
  // Leaves the allocator with `pages` above the watermark of page tables.
  void exhaust(std::uint64_t pages) {
    std::vector<Pfn> spare;
    for (std::uint64_t n = 0; n < pages; ++n)
      spare.push_back(*memory.allocate(0, MigrateType::movable, FrameUse::anon));
    while (memory.allocate(0, MigrateType::movable, FrameUse::anon, AllocLevel::min)) {
    }
    for (Pfn page : spare) memory.free(page, 0);
  }
  void map(VirtAddr va, std::uint64_t pfn, std::uint64_t flags = kPageFlags) {
    ASSERT_TRUE(table.ensure_pte_table(va));
    *table.pte(va) = Pte::make(Pfn{pfn}, flags);
  }
  std::vector<VirtAddr> visited(VirtRange range) const {
    std::vector<VirtAddr> found;
    table.visit(range, [&](VirtAddr va, Pte&, PageSize) { found.push_back(va); });
    return found;
  }
};

TEST(Pte, SaysWhatTheKernelAndTheHardwareSee) {
  EXPECT_TRUE(Pte{}.none());
  const Pte none_access = Pte::make(Pfn{7}, Pte::kProtNone);
  EXPECT_TRUE(none_access.present());
  EXPECT_FALSE(none_access.hw_present());
  const Pte swapped = Pte::make_swap(0);
  EXPECT_TRUE(swapped.swap() && !swapped.none() && !swapped.present());
  EXPECT_EQ(Pte::make_swap(12345).swap_slot(), 12345U);
  EXPECT_EQ(Pte::make(Pfn{0xfffff}, kPageFlags | Pte::kNoExec).pfn(), Pfn{0xfffff});
}

// --- shape ---

TEST_F(PageTableTest, StartsAsOneFrame) {
  EXPECT_EQ(table.table_pages(), 1U);
  EXPECT_EQ(used(), 1U);
  EXPECT_EQ(memory.frame(table.root().table->frame).used_as(), FrameUse::page_table);
  EXPECT_EQ(table.lookup(kBase).entry, nullptr);
  EXPECT_EQ(table.pud(kBase), nullptr);
}

TEST_F(PageTableTest, MakesOneTablePerLevel) {
  ASSERT_TRUE(table.ensure_pud_table(kBase));
  EXPECT_EQ(table.table_pages(), 2U);
  EXPECT_EQ(table.lookup(kBase).size, PageSize::k1G);
  ASSERT_TRUE(table.ensure_pmd_table(kBase));
  EXPECT_EQ(table.lookup(kBase).size, PageSize::k2M);
  EXPECT_EQ(table.lookup(kBase).entry, table.pmd(kBase));
  EXPECT_EQ(table.pte(kBase), nullptr);
  ASSERT_TRUE(table.ensure_pte_table(kBase));
  EXPECT_EQ(table.table_pages(), 4U);
  EXPECT_EQ(table.lookup(kBase).size, PageSize::k4K);
  EXPECT_EQ(table.lookup(kBase).entry, table.pte(kBase));
  ASSERT_TRUE(table.ensure_pte_table(kBase + kHugeBytes - 1));
  EXPECT_EQ(table.table_pages(), 4U);
  EXPECT_EQ(used(), 4U);
}

TEST_F(PageTableTest, HasFiveLevelsToo) {
  PageTable deep(memory, 5);
  const VirtAddr high{(1ULL << 56) - kPageBytes};
  ASSERT_TRUE(deep.ensure_pte_table(high));
  EXPECT_EQ(deep.table_pages(), 5U);
  *deep.pte(high) = Pte::make(Pfn{3}, kPageFlags);
  EXPECT_EQ(deep.lookup(high).entry->pfn(), Pfn{3});
  EXPECT_EQ(deep.lookup(kBase).entry, nullptr);
  EXPECT_EQ(deep.cursor_at(high, 5).level, 4U);
}

TEST_F(PageTableTest, GivesAllFramesBack) {
  {
    PageTable other(memory, 4);
    for (std::uint64_t n = 0; n < 100; ++n) ASSERT_TRUE(other.ensure_pte_table(VirtAddr{n * 7 * kGiB}));
    ASSERT_TRUE(other.map_huge_with_deposit(kBase, Pte::make(Pfn{512}, kPageFlags)));
    other.detach_pte_table(VirtAddr{0});
    EXPECT_GT(used(), 200U);
  }
  EXPECT_EQ(used(), 1U);
  EXPECT_EQ(memory.check(), memory.free_pages());
}

TEST_F(PageTableTest, FailsWithoutFramesAndKeepsWhatWasMade) {
  exhaust(2);
  EXPECT_FALSE(table.ensure_pte_table(kBase));
  EXPECT_EQ(table.table_pages(), 3U);
  EXPECT_NE(table.pmd(kBase), nullptr);
  EXPECT_FALSE(table.map_huge_with_deposit(kBase, Pte::make(Pfn{512}, kPageFlags)));
  EXPECT_TRUE(table.pmd(kBase)->none());
  EXPECT_THROW(PageTable(memory, 4), SimulationError);
}

// --- the walker's view ---

TEST_F(PageTableTest, WalksFromTheRootToTheLeaf) {
  map(kBase, 42);
  PageTable::Cursor at = table.root();
  for (unsigned level = 4; level > 1; --level) {
    EXPECT_EQ(at.level, level);
    const Pte entry = table.entry(at, kBase);
    EXPECT_TRUE(entry.hw_present() && entry.accessed() && !entry.huge());
    at = table.descend(at, kBase);
    EXPECT_EQ(entry.pfn(), at.table->frame);
    EXPECT_EQ(table.cursor_at(kBase, level).table, at.table);
    EXPECT_EQ(table.cursor_at(kBase, level).level, at.level);
  }
  EXPECT_EQ(table.entry(at, kBase).pfn(), Pfn{42});
  EXPECT_EQ(table.cursor_at(kBase + kGiB, 2).table, nullptr);
}

TEST_F(PageTableTest, NeverDescendsIntoADeposit) {
  ASSERT_TRUE(table.map_huge_with_deposit(kBase, Pte::make(Pfn{512}, kPageFlags)));
  EXPECT_EQ(table.cursor_at(kBase, 2).table, nullptr);
  EXPECT_NE(table.cursor_at(kBase, 3).table, nullptr);
}

TEST_F(PageTableTest, EveryEntryHasAnAddressOfItsOwnInATableFrame) {
  std::set<PhysAddr> addresses;
  std::uint64_t entries = 0;
  for (std::uint64_t block : {0, 1, 511, 512}) {
    ASSERT_TRUE(table.ensure_pte_table(kBase + block * kHugeBytes));
    const PageTable::Cursor at = table.cursor_at(kBase + block * kHugeBytes, 2);
    for (std::uint64_t page = 0; page < kHugePages; ++page, ++entries) {
      const VirtAddr va = kBase + block * kHugeBytes + page * kPageBytes;
      const PhysAddr address = table.entry_address(at, va);
      EXPECT_EQ(address, table.table_address(at.table) + page * 8);
      EXPECT_EQ(memory.frame(pfn_of(address)).used_as(), FrameUse::page_table);
      addresses.insert(address);
    }
  }
  for (PageTable::Cursor at = table.root(); at.level > 1; at = table.descend(at, kBase), ++entries)
    addresses.insert(table.entry_address(at, kBase));
  EXPECT_EQ(addresses.size(), entries);
}

// --- huge leaves ---

TEST_F(PageTableTest, DepositsATableUnderAHugePage) {
  ASSERT_TRUE(table.map_huge_with_deposit(kBase, Pte::make(Pfn{512}, kPageFlags)));
  EXPECT_EQ(table.table_pages(), 4U);
  EXPECT_TRUE(table.pmd_is_huge(kBase));
  EXPECT_FALSE(table.pmd_is_table(kBase));
  EXPECT_EQ(table.pte(kBase), nullptr);
  EXPECT_EQ(table.pte_table_id(kBase), nullptr);
  EXPECT_EQ(table.lookup(kBase + 0x12345).entry, table.pmd(kBase));
  EXPECT_EQ(table.lookup(kBase + 0x12345).size, PageSize::k2M);
  EXPECT_EQ(table.unmap_huge(kBase).pfn(), Pfn{512});
  EXPECT_EQ(table.table_pages(), 3U);
  EXPECT_TRUE(table.pmd(kBase)->none());
}

TEST_F(PageTableTest, MapsHugePagesWithoutDeposit) {
  ASSERT_TRUE(table.ensure_pmd_table(kBase));
  table.map_huge(kBase, Pte::make(Pfn{1024}, kPageFlags), PageSize::k2M);
  EXPECT_EQ(table.table_pages(), 3U);
  ASSERT_TRUE(table.ensure_pud_table(kBase + kGiB));
  table.map_huge(kBase + kGiB, Pte::make(Pfn{1 << 18}, kPageFlags), PageSize::k1G);
  EXPECT_EQ(table.lookup(kBase + kGiB + 12345).size, PageSize::k1G);
  EXPECT_EQ(table.lookup(kBase + kGiB).entry->pfn(), Pfn{1 << 18});
  EXPECT_EQ(visited({kBase, kBase + 2 * kGiB}), (std::vector{kBase, kBase + kGiB}));
  table.unmap_huge(kBase);
  EXPECT_EQ(table.table_pages(), 3U);
}

TEST_F(PageTableTest, SplitCarriesTheBitsOfTheLeafTo512Entries) {
  const std::uint64_t carried = kPageFlags | Pte::kAccessed | Pte::kDirty | Pte::kNoExec | Pte::kUffdWp;
  ASSERT_TRUE(table.map_huge_with_deposit(kBase, Pte::make(Pfn{512}, carried)));
  const std::uint64_t tables = table.table_pages();
  ASSERT_TRUE(table.split_pmd(kBase, Pfn{0}));
  EXPECT_EQ(table.table_pages(), tables);
  for (unsigned n = 0; n < kHugePages; ++n) EXPECT_EQ(table.pte_table(kBase)[n], Pte::make(Pfn{512 + n}, carried));
}

TEST_F(PageTableTest, SplitKeepsWhatIsNotPresentForTheHardware) {
  ASSERT_TRUE(table.map_huge_with_deposit(kBase, Pte::make(Pfn{512}, Pte::kProtNone | Pte::kUser)));
  ASSERT_TRUE(table.split_pmd(kBase, Pfn{0}));
  EXPECT_EQ(*table.pte(kBase + kPageBytes), Pte::make(Pfn{513}, Pte::kProtNone | Pte::kUser));
}

TEST_F(PageTableTest, SplitOfTheHugeZeroPageMapsTheZeroPageReadOnly) {
  ASSERT_TRUE(table.ensure_pmd_table(kBase));
  table.map_huge(kBase, Pte::make(Pfn{1024}, kPageFlags | Pte::kSpecial | Pte::kDirty), PageSize::k2M);
  ASSERT_TRUE(table.split_pmd(kBase, Pfn{9}));
  for (Pte entry : table.pte_table(kBase))
    EXPECT_EQ(entry, Pte::make(Pfn{9}, Pte::kPresent | Pte::kUser | Pte::kSpecial));
  EXPECT_EQ(table.table_pages(), 4U);
}

TEST_F(PageTableTest, SplitWithoutDepositNeedsAFrame) {
  ASSERT_TRUE(table.ensure_pmd_table(kBase));
  table.map_huge(kBase, Pte::make(Pfn{1024}, kPageFlags | Pte::kSpecial), PageSize::k2M);
  exhaust(0);
  EXPECT_FALSE(table.split_pmd(kBase, Pfn{9}));
  EXPECT_TRUE(table.pmd_is_huge(kBase));
}

// --- collapse ---

TEST_F(PageTableTest, RollbackPutsTheSameTableBack) {
  map(kBase + 5 * kPageBytes, 77, kPageFlags | Pte::kDirty);
  const PageTable::Table* id = table.pte_table_id(kBase);
  PageTable::Table* detached = table.detach_pte_table(kBase);
  EXPECT_EQ(detached, id);
  EXPECT_TRUE(table.pmd(kBase)->none());
  EXPECT_EQ(table.pte(kBase), nullptr);
  EXPECT_EQ(PageTable::entries(detached)[5].pfn(), Pfn{77});
  table.attach_pte_table(kBase, detached);
  EXPECT_EQ(table.pte_table_id(kBase), id);
  EXPECT_EQ(*table.pte(kBase + 5 * kPageBytes), Pte::make(Pfn{77}, kPageFlags | Pte::kDirty));
}

TEST_F(PageTableTest, CommitDepositsTheEmptiedTable) {
  map(kBase + 5 * kPageBytes, 77);
  const std::uint64_t tables = table.table_pages();
  PageTable::Table* detached = table.detach_pte_table(kBase);
  table.commit_huge(kBase, Pte::make(Pfn{512}, kPageFlags), detached);
  EXPECT_TRUE(table.pmd_is_huge(kBase));
  EXPECT_EQ(table.table_pages(), tables);
  for (Pte entry : PageTable::entries(detached)) EXPECT_TRUE(entry.none());
  ASSERT_TRUE(table.split_pmd(kBase, Pfn{0}));
  EXPECT_EQ(table.pte_table_id(kBase), detached);
}

// --- moving and freeing ---

TEST_F(PageTableTest, MovesPagesAndWholePmds) {
  const VirtAddr to = kBase + 10 * kGiB;
  map(kBase, 1), map(kBase + kPageBytes, 2);
  ASSERT_TRUE(table.move_pte(kBase, to + 3 * kPageBytes));
  EXPECT_TRUE(table.pte(kBase)->none());
  EXPECT_EQ(table.pte(to + 3 * kPageBytes)->pfn(), Pfn{1});
  const PageTable::Table* id = table.pte_table_id(kBase);
  ASSERT_TRUE(table.move_pmd(kBase, to + kHugeBytes));
  EXPECT_EQ(table.pte_table_id(to + kHugeBytes), id);
  EXPECT_TRUE(table.pmd(kBase)->none());
  ASSERT_TRUE(table.map_huge_with_deposit(kBase, Pte::make(Pfn{512}, kPageFlags)));
  const std::uint64_t tables = table.table_pages();
  ASSERT_TRUE(table.move_pmd(kBase, to + 2 * kHugeBytes));
  EXPECT_EQ(table.table_pages(), tables);
  ASSERT_TRUE(table.split_pmd(to + 2 * kHugeBytes, Pfn{0}));
  EXPECT_EQ(table.table_pages(), tables);  // the deposit had moved along
  EXPECT_TRUE(table.move_pmd(kBase + 5 * kGiB, to));
}

TEST_F(PageTableTest, FreesOnlyTablesThatNoNeighbourCanUse) {
  const VirtRange range{kBase + kHugeBytes / 2, kBase + 3 * kHugeBytes + kPageBytes};
  for (std::uint64_t n = 0; n < 4; ++n) ASSERT_TRUE(table.ensure_pte_table(kBase + n * kHugeBytes));
  ASSERT_EQ(table.table_pages(), 7U);
  table.free_tables(range, range.start, range.end);  // neighbours touch both ends
  EXPECT_EQ(table.table_pages(), 5U);
  EXPECT_TRUE(table.pmd_is_table(kBase) && table.pmd_is_table(kBase + 3 * kHugeBytes));
  table.free_tables(range, kBase, range.end);  // the one before ends at the 2 MiB boundary
  EXPECT_EQ(table.table_pages(), 4U);
  table.free_tables(range, kBase, kBase + kGiB - kPageBytes);
  EXPECT_EQ(table.table_pages(), 3U);
  table.free_tables(range, kBase, kBase + kGiB);  // the PMD table serves nobody now
  EXPECT_EQ(table.table_pages(), 2U);
  table.free_tables(range, VirtAddr{0}, VirtAddr{0});  // no neighbours at all: all but the root
  EXPECT_EQ(table.table_pages(), 1U);
  EXPECT_EQ(used(), 1U);
}

// --- visiting ---

TEST_F(PageTableTest, VisitsLeavesInAddressOrder) {
  map(VirtAddr{0}, 1);
  map(kBase + kHugeBytes - kPageBytes, 2);
  ASSERT_TRUE(table.map_huge_with_deposit(kBase + kHugeBytes, Pte::make(Pfn{512}, kPageFlags)));
  map(kBase + 2 * kHugeBytes, 3);
  ASSERT_TRUE(table.ensure_pte_table(kBase + 3 * kHugeBytes));
  const VirtAddr huge = kBase + kHugeBytes, after = kBase + 2 * kHugeBytes;
  EXPECT_EQ(visited({VirtAddr{0}, VirtAddr{1ULL << 47}}), (std::vector{VirtAddr{0}, huge - kPageBytes, huge, after}));
  EXPECT_EQ(visited({huge + kPageBytes, after}), (std::vector{huge}));
  EXPECT_EQ(visited({after, after + kPageBytes}), (std::vector{after}));
  EXPECT_TRUE(visited({after + kPageBytes, after + kGiB}).empty());
  EXPECT_TRUE(visited({after, after}).empty());
}

TEST_F(PageTableTest, VisitMayClearEntriesAndUnmapHugePages) {
  map(kBase, 1);
  ASSERT_TRUE(table.map_huge_with_deposit(kBase + kHugeBytes, Pte::make(Pfn{512}, kPageFlags)));
  table.visit({kBase, kBase + kGiB}, [&](VirtAddr va, Pte& entry, PageSize size) {
    if (size == PageSize::k2M) table.unmap_huge(va);
    else entry = {};
  });
  EXPECT_TRUE(visited({kBase, kBase + kGiB}).empty());
  table.free_tables({kBase, kBase + kGiB}, VirtAddr{0}, VirtAddr{0});
  EXPECT_EQ(table.table_pages(), 1U);
}

TEST_F(PageTableTest, RefusesAddressesBeyondTheUserHalf) {
  EXPECT_DEATH(table.ensure_pte_table(VirtAddr{1ULL << 47}), "no user address");
  EXPECT_DEATH(table.lookup(VirtAddr{0xffff'8000'0000'0000}), "no user address");
}

TEST_F(PageTableTest, RefusesToTakeATableTwice) {
  map(kBase, 1);
  PageTable::Table* detached = table.detach_pte_table(kBase);
  EXPECT_DEATH(table.detach_pte_table(kBase), "no page table to detach");
  table.attach_pte_table(kBase, detached);
  EXPECT_DEATH(table.attach_pte_table(kBase, detached), "was not detached");
}

// --- against a map ---

// The same operations on a PageTable and on a std::map of 4 KiB pages.
class Twin {
 public:
  explicit Twin(std::uint64_t seed) : random_(seed, "twin") {}

  void step() {
    const VirtAddr va = any_page(), huge = huge_base(va);
    switch (random_.below(9)) {
      case 0:
      case 1:
      case 2: return map_page(va);
      case 3: return unmap_page(va);
      case 4: return map_range(huge);
      case 5: return split(huge);
      case 6: return collapse(huge);
      case 7: return move(huge, huge_base(any_page()));
      case 8: return clear_range(huge);
    }
  }
  void compare() {
    std::map<std::uint64_t, Pte> found;
    table_.visit({VirtAddr{0}, VirtAddr{1ULL << 47}}, [&](VirtAddr va, Pte& entry, PageSize size) {
      for (std::uint64_t n = 0; n < pages_4k(size); ++n)
        found.emplace(va.value + n * kPageBytes, Pte::make(entry.pfn() + n, entry.bits & kPageFlags));
    });
    ASSERT_EQ(found, model_);
    for (const auto& [va, expected] : model_) {
      const PageTable::Leaf leaf = table_.lookup(VirtAddr{va});
      const std::uint64_t page = leaf.size == PageSize::k2M ? (va >> kPageShift) % kHugePages : 0;
      ASSERT_EQ(leaf.entry->pfn() + page, expected.pfn());
    }
    ASSERT_EQ(table_.table_pages(), memory_.total_pages() - memory_.free_pages());
  }

 private:
  VirtAddr any_page() {
    const std::uint64_t block = random_.below(6) * kHugeBytes + random_.below(2) * 3 * kGiB;
    return kBase + block + random_.below(kHugePages) * kPageBytes;
  }
  Pte fresh() { return Pte::make(Pfn{next_ += kHugePages}, kPageFlags); }
  bool has_pmd(VirtAddr huge) const { return table_.pmd(huge) && !table_.pmd(huge)->none(); }
  void erase(VirtAddr huge) {
    model_.erase(model_.lower_bound(huge.value), model_.lower_bound(huge.value + kHugeBytes));
  }
  void fill(VirtAddr huge, Pte leaf) {
    for (std::uint64_t n = 0; n < kHugePages; ++n)
      model_[huge.value + n * kPageBytes] = Pte::make(leaf.pfn() + n, kPageFlags);
  }

  void map_page(VirtAddr va) {
    if (table_.pmd_is_huge(va)) return;
    ASSERT_TRUE(table_.ensure_pte_table(va));
    *table_.pte(va) = model_[va.value] = fresh();
  }
  void unmap_page(VirtAddr va) {
    if (!table_.pte(va)) return;
    *table_.pte(va) = {};
    model_.erase(va.value);
  }
  void map_range(VirtAddr huge) {
    if (has_pmd(huge)) return;
    const Pte leaf = fresh();
    ASSERT_TRUE(table_.map_huge_with_deposit(huge, leaf));
    fill(huge, leaf);
  }
  void split(VirtAddr huge) {
    if (table_.pmd_is_huge(huge)) {
      ASSERT_TRUE(table_.split_pmd(huge, Pfn{0}));
    }
  }
  void collapse(VirtAddr huge) {
    if (!table_.pmd_is_table(huge)) return;
    PageTable::Table* detached = table_.detach_pte_table(huge);
    if (random_.below(2) == 0) return table_.attach_pte_table(huge, detached);
    const Pte leaf = fresh();
    table_.commit_huge(huge, leaf, detached);
    erase(huge), fill(huge, leaf);
  }
  void move(VirtAddr from, VirtAddr to) {
    if (from == to || has_pmd(to)) return;
    ASSERT_TRUE(table_.move_pmd(from, to));
    for (std::uint64_t n = 0; n < kHugeBytes; n += kPageBytes)
      if (auto node = model_.extract(from.value + n)) node.key() = to.value + n, model_.insert(std::move(node));
  }
  void clear_range(VirtAddr huge) {
    if (table_.pmd_is_huge(huge)) table_.unmap_huge(huge);
    table_.visit({huge, huge + kHugeBytes}, [](VirtAddr, Pte& entry, PageSize) { entry = {}; });
    erase(huge);
    table_.free_tables({huge, huge + kHugeBytes}, huge, huge + kHugeBytes);
    EXPECT_FALSE(has_pmd(huge));
  }

  PhysicalMemory memory_{MemoryConfig{Bytes{64 * kMiB}}};
  PageTable table_{memory_, 4};
  std::map<std::uint64_t, Pte> model_;
  Random random_;
  std::uint64_t next_ = 0;
};

TEST(PageTable, AgreesWithAMapUnderRandomOperations) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Twin twin(seed);
    for (int step = 0; step < 6000; ++step) {
      twin.step();
      if (step % 100 == 99) twin.compare();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(PageTable, DenseMemoryCostsAtMost64HostBytesPerPage) {
  PhysicalMemory memory{MemoryConfig{Bytes{kGiB}}};
  PageTable table(memory, 4);
  const std::uint64_t before = memory.host_bytes() + table.host_bytes(), pages = 200'000;
  for (std::uint64_t n = 0; n < pages; ++n) {
    const VirtAddr va = kBase + n * kPageBytes;
    ASSERT_TRUE(table.ensure_pte_table(va));
    *table.pte(va) = Pte::make(*memory.allocate(0, MigrateType::movable, FrameUse::anon), kPageFlags);
  }
  EXPECT_LE(memory.host_bytes() + table.host_bytes() - before, 64 * pages);
  EXPECT_LE(memory.host_bytes() + table.host_bytes() - before,
            42 * pages);  // 32 frame + 8 entry + tables and their frames
}

}  // namespace
}  // namespace collapsar
