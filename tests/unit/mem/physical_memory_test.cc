#include "models/mem/physical_memory.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kMaxBlockPages = 1ULL << PhysicalMemory::kMaxOrder;

struct Memory : PhysicalMemory {
  explicit Memory(std::uint64_t bytes) : PhysicalMemory(MemoryConfig{Bytes{bytes}}) {}
  std::optional<Pfn> anon(unsigned order = 0) {
    return allocate(order, MigrateType::movable, FrameUse::anon, AllocLevel::reserve);
  }
  std::optional<Pfn> table() { return allocate(0, MigrateType::unmovable, FrameUse::page_table, AllocLevel::reserve); }
};

// Every frame of `memory` as a movable order-0 page, in the order in which they came.
std::vector<Pfn> fill(Memory& memory) {
  std::vector<Pfn> pages;
  while (auto page = memory.anon()) pages.push_back(*page);
  return pages;
}

TEST(MemoryConfig, RefusesSizesThatAreNoMultipleOf4MiB) {
  EXPECT_NO_THROW(MemoryConfig{}.validate());
  for (std::uint64_t size : {std::uint64_t{0}, 6 * kMiB, 4 * kMiB + 1, 16 * kTiB})
    EXPECT_THROW(MemoryConfig{Bytes{size}}.validate(), std::invalid_argument) << size;
}

TEST(PhysicalMemory, StartsAllFreeAndUntouched) {
  Memory memory(64 * kMiB);
  EXPECT_EQ(memory.total_pages(), 64 * kMiB / kPageBytes);
  EXPECT_EQ(memory.free_pages(), memory.total_pages());
  EXPECT_EQ(memory.free_blocks(PhysicalMemory::kMaxOrder), 16U);
  EXPECT_EQ(memory.check(), memory.total_pages());
}

TEST(PhysicalMemory, OpensUntouchedMemoryInBlocksOf4MiB) {
  Memory memory(64 * kMiB);
  const std::uint64_t before = memory.host_bytes();
  for (std::uint64_t n = 0; n < kMaxBlockPages; ++n) EXPECT_EQ(memory.anon()->value, n);
  EXPECT_EQ(memory.host_bytes() - before, kMaxBlockPages * sizeof(Frame));
  EXPECT_EQ(memory.free_blocks(kHugeOrder), 15U);
  EXPECT_EQ(memory.anon()->value, kMaxBlockPages);
  EXPECT_EQ(memory.free_blocks(kHugeOrder), 15U);  // the upper half of the second block is one of order 9
  EXPECT_EQ(memory.free_blocks(0), 14U + 10U);
  EXPECT_EQ(memory.check(), memory.free_pages());
}

TEST(PhysicalMemory, GivesEveryFrameOnceAndThenNothing) {
  Memory memory(16 * kMiB);
  const std::vector<Pfn> pages = fill(memory);
  EXPECT_EQ(std::set<Pfn>(pages.begin(), pages.end()).size(), memory.total_pages());
  EXPECT_EQ(memory.free_pages(), 0U);
  EXPECT_FALSE(memory.anon(kHugeOrder));
  EXPECT_EQ(memory.stats().huge_failures, 1U);
  EXPECT_EQ(memory.check(), 0U);
}

TEST(PhysicalMemory, MergesFreedFramesBackToTheLargestBlocks) {
  Memory memory(16 * kMiB);
  std::vector<Pfn> pages = fill(memory);
  Random random(1, "shuffle");
  for (std::size_t n = pages.size(); n > 1; --n) std::swap(pages[n - 1], pages[random.below(n)]);
  for (Pfn page : pages) memory.free(page, 0);
  EXPECT_EQ(memory.free_blocks(0), 4U);
  EXPECT_EQ(memory.free_blocks(PhysicalMemory::kMaxOrder), 4U);
  EXPECT_EQ(memory.check(), memory.total_pages());
}

TEST(PhysicalMemory, ReusesTheFrameFreedLast) {
  Memory memory(16 * kMiB);
  const std::vector<Pfn> pages = fill(memory);
  memory.free(pages[10], 0);
  memory.free(pages[700], 0);
  EXPECT_EQ(memory.anon(), pages[700]);
  EXPECT_EQ(memory.anon(), pages[10]);
}

TEST(PhysicalMemory, HandsOutFramesInTheirFirstState) {
  Memory memory(4 * kMiB);
  const Pfn page = *memory.anon();
  Frame& frame = memory.frame(page);
  frame.index = 77;
  frame.set(Frame::kDirty);
  memory.free(page, 0);
  EXPECT_EQ(memory.frame(page).used_as(), FrameUse::free);
  EXPECT_EQ(memory.table(), page);
  EXPECT_EQ(frame.used_as(), FrameUse::page_table);
  EXPECT_EQ(frame.index, 0U);
  EXPECT_EQ(frame.flags, 0U);
  EXPECT_EQ(frame.lru_next, Frame::kNone);
}

TEST(PhysicalMemory, KnowsTheNumberOfAFrame) {
  Memory memory(1 * kTiB);
  const Pfn last{memory.total_pages() - 1};
  EXPECT_EQ(memory.pfn_of(memory.frame(Pfn{1234})), Pfn{1234});
  EXPECT_EQ(memory.pfn_of(memory.frame(last)), last);
}

// --- watermarks ---

TEST(PhysicalMemory, SetsWatermarksByLinuxFormula) {
  Memory memory(16 * kGiB);  // 4 * sqrt(16 Mi KiB) = 16384 KiB
  const std::uint64_t step = memory.total_pages() / 1000;
  EXPECT_EQ(memory.watermarks().min, 16384U / 4);
  EXPECT_EQ(memory.watermarks().low, memory.watermarks().min + step);
  EXPECT_EQ(memory.watermarks().high, memory.watermarks().min + 2 * step);
  memory.raise_min_free_for_thp();
  EXPECT_EQ(memory.watermarks().min, 11 * kHugePages);  // 2 + 3 * 3 pageblocks
  EXPECT_EQ(memory.watermarks().low, 11 * kHugePages + step);
}

TEST(PhysicalMemory, NeverLowersWatermarksForThp) {
  Memory memory(1 * kTiB);
  const std::uint64_t min = 131072 / 4;  // 4 * sqrt(1 Gi KiB) = 131072 KiB
  EXPECT_EQ(memory.watermarks().min, min);
  memory.raise_min_free_for_thp();
  EXPECT_EQ(memory.watermarks().min, min);
}

TEST(PhysicalMemory, KeepsWatermarksOfSmallMachinesInBounds) {
  Memory small(4 * kMiB);  // 4 * sqrt(4096) = 256 KiB
  EXPECT_EQ(small.watermarks().min, 64U);
  EXPECT_EQ(small.watermarks().low, 64U + 16U);  // a quarter of min is more than 0.1 % of memory
  small.raise_min_free_for_thp();
  EXPECT_EQ(small.watermarks().min, 64U);  // 5 % of 1024 pages is less
  EXPECT_EQ(Memory(8 * kTiB).watermarks().min, 262144U / 4);
}

TEST(PhysicalMemory, StopsAtTheWatermarkOfEachLevel) {
  Memory memory(64 * kMiB);
  const Watermarks& marks = memory.watermarks();
  const std::vector<std::pair<AllocLevel, std::uint64_t>> levels = {{AllocLevel::high, marks.high},
                                                                    {AllocLevel::low, marks.low},
                                                                    {AllocLevel::min, marks.min},
                                                                    {AllocLevel::reserve, 0}};
  for (const auto& [level, kept] : levels) {
    while (memory.allocate(0, MigrateType::movable, FrameUse::anon, level)) {
    }
    EXPECT_EQ(memory.free_pages(), kept);
  }
}

TEST(PhysicalMemory, A1TiBMachineStartsSmall) {
  Memory memory(1 * kTiB);
  EXPECT_EQ(memory.free_pages(), kTiB / kPageBytes);
  EXPECT_EQ(memory.free_blocks(kHugeOrder), kTiB / (4 * kMiB));
  memory.anon();
  EXPECT_LT(memory.host_bytes(), 1 * kMiB);
}

// --- migrate types ---

TEST(PhysicalMemory, KeepsTypesInPageblocksOfTheirOwn) {
  Memory memory(64 * kMiB);
  for (int n = 0; n < 1000; ++n) {
    const Pfn page = *memory.anon(), table = *memory.table();
    EXPECT_EQ(memory.pageblock_type(page), MigrateType::movable);
    EXPECT_EQ(memory.pageblock_type(table), MigrateType::unmovable);
  }
  EXPECT_EQ(memory.stats().fallbacks, 1U);  // one 4 MiB block changed hands
  EXPECT_EQ(memory.check(), memory.free_pages());
}

TEST(PhysicalMemory, StealsTheLargestBlockOfAnotherType) {
  Memory memory(16 * kMiB);
  const std::vector<Pfn> pages = fill(memory);
  memory.free(pages[5], 0);
  for (std::uint64_t n = 1024; n < 1024 + 64; ++n) memory.free(pages[n], 0);
  EXPECT_EQ(memory.table()->value, 1024U);
  EXPECT_EQ(memory.stats().fallbacks, 1U);
  EXPECT_EQ(memory.check(), memory.free_pages());
}

TEST(PhysicalMemory, TakesOnlyTheBlockFromAPageblockInUse) {
  Memory memory(16 * kMiB);
  const std::vector<Pfn> pages = fill(memory);
  for (std::uint64_t n = 0; n < 128; ++n) memory.free(pages[n], 0);
  const Pfn table = *memory.table();
  EXPECT_EQ(table, pages[0]);
  EXPECT_EQ(memory.pageblock_type(table), MigrateType::movable);
  EXPECT_EQ(memory.anon(), pages[1]);  // the rest stayed movable
  EXPECT_EQ(memory.stats().fallbacks, 1U);
}

TEST(PhysicalMemory, ClaimsAPageblockThatIsHalfFree) {
  Memory memory(16 * kMiB);
  const std::vector<Pfn> pages = fill(memory);
  for (std::uint64_t n = 0; n < 512; n += 2) memory.free(pages[n], 0);  // 256 single frames
  const Pfn table = *memory.table();
  EXPECT_EQ(memory.pageblock_type(table), MigrateType::unmovable);
  for (int n = 0; n < 255; ++n) EXPECT_EQ(memory.table()->value / kHugePages, table.value / kHugePages);
  EXPECT_EQ(memory.stats().fallbacks, 1U);
  EXPECT_EQ(memory.check(), 0U);
}

TEST(PhysicalMemory, CountsUnmovableFramesInAMovablePageblockAsAlike) {
  Memory memory(16 * kMiB);
  const std::vector<Pfn> pages = fill(memory);
  const auto retake = [&](std::uint64_t n) {  // page n becomes a page table in a movable pageblock
    memory.free(pages[n], 0);
    ASSERT_EQ(memory.table(), pages[n]);
  };
  for (std::uint64_t n = 0; n < 255; ++n) retake(n);
  EXPECT_EQ(memory.pageblock_type(pages[0]), MigrateType::movable);  // 254 alike + 1 free
  retake(255);
  EXPECT_EQ(memory.pageblock_type(pages[0]), MigrateType::unmovable);  // 255 alike + 1 free: half
}

TEST(PhysicalMemory, AMovableRequestTakesTheSmallestBlockItMayNotClaim) {
  Memory memory(4 * kMiB);
  std::vector<Pfn> tables;
  while (auto table = memory.table()) tables.push_back(*table);
  for (std::uint64_t n = 8; n < 16; ++n) memory.free(tables[n], 0);  // order 3: below half the order of a pageblock
  memory.free(tables[100], 0);
  EXPECT_EQ(memory.anon(), tables[100]);
  EXPECT_EQ(memory.pageblock_type(tables[100]), MigrateType::unmovable);
}

TEST(PhysicalMemory, PrefersReclaimablePageblocksForUnmovablePages) {
  Memory memory(12 * kMiB);
  std::vector<Pfn> blocks;
  for (MigrateType type : {MigrateType::movable, MigrateType::reclaimable, MigrateType::movable})
    blocks.push_back(*memory.allocate(10, type, FrameUse::file, AllocLevel::reserve));
  for (Pfn block : blocks) memory.free(block, 10);
  EXPECT_EQ(memory.pageblock_type(blocks[1]), MigrateType::reclaimable);
  EXPECT_EQ(memory.table(), blocks[1]);
  EXPECT_EQ(memory.pageblock_type(blocks[1]), MigrateType::unmovable);
}

// --- compound and gigantic pages ---

TEST(PhysicalMemory, MarksHeadAndTailsOfAHugePage) {
  Memory memory(16 * kMiB);
  memory.anon();
  const Pfn head = *memory.anon(kHugeOrder);
  EXPECT_EQ(head.value % kHugePages, 0U);
  EXPECT_TRUE(memory.frame(head).is(Frame::kHead));
  for (std::uint64_t n = 1; n < kHugePages; ++n) {
    EXPECT_TRUE(memory.frame(head + n).is(Frame::kTail));
    EXPECT_EQ(memory.head_of(head + n), head);
  }
  EXPECT_EQ(memory.head_of(head), head);
  memory.pmd_mapcount(head) = 2;
  memory.frame(head + 7).mapcount = 1;
  EXPECT_EQ(memory.total_mapcount(head), 2U);
  EXPECT_EQ(memory.total_mapcount(head + 7), 3U);
  memory.pmd_mapcount(head) = memory.frame(head + 7).mapcount = 0;
  memory.free(head, kHugeOrder);
  EXPECT_EQ(memory.frame(head + 7).flags, 0U);
  EXPECT_EQ(memory.check(), memory.free_pages());
}

TEST(PhysicalMemory, SplitsACompoundPageIntoPagesFreedAlone) {
  Memory memory(4 * kMiB);
  const Pfn head = *memory.anon(kHugeOrder);
  Frame& first = memory.frame(head);
  first.mapping = 5;
  first.index = 1000;
  memory.set_swap_slot(head, 4096);
  first.set(Frame::kLru), first.set(Frame::kDirty), first.set(Frame::kSwapCache);
  memory.split_compound(head);
  const Frame& other = memory.frame(head + 9);
  EXPECT_EQ(other.mapping, 5U);
  EXPECT_EQ(other.index, 1009U);
  EXPECT_EQ(memory.swap_slot(head + 9), 4105U);
  EXPECT_TRUE(other.is(Frame::kDirty) && other.is(Frame::kSwapCache));
  EXPECT_FALSE(other.is(Frame::kLru) || other.is(Frame::kTail) || first.is(Frame::kHead));
  EXPECT_EQ(memory.check(), memory.free_pages());
  first.clear(Frame::kLru);
  for (std::uint64_t n = 0; n < kHugePages; ++n) {
    memory.frame(head + n).clear(Frame::kSwapCache), memory.drop_swap_slot(head + n);
    memory.free(head + n, 0);
  }
  EXPECT_EQ(memory.free_blocks(PhysicalMemory::kMaxOrder), 1U);
}

TEST(PhysicalMemory, ServesGiganticPagesFromUntouchedMemory) {
  Memory memory(4 * kGiB);
  memory.anon();
  const auto page = memory.allocate(PhysicalMemory::kGiganticOrder, MigrateType::movable, FrameUse::hugetlb);
  EXPECT_EQ(page, Pfn{kGiB / kPageBytes});
  EXPECT_EQ(memory.check(), 3 * kGiB / kPageBytes - 1);
  memory.free(*page, PhysicalMemory::kGiganticOrder);
  EXPECT_EQ(memory.check(), kGiB * 4 / kPageBytes - 1);
  EXPECT_EQ(memory.free_blocks(PhysicalMemory::kMaxOrder), 1023U);
}

// --- storms and misuse ---

TEST(PhysicalMemory, StaysWholeInAStormOfRequests) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Memory memory(32 * kMiB);
    Random random(seed, "storm");
    std::vector<std::pair<Pfn, unsigned>> held;
    for (int step = 0; step < 20000; ++step) {
      const bool grow = random.below(1000) < (step / 4000 % 2 == 0 ? 650U : 400U);
      if (grow) {
        const unsigned order = random.below(40) == 0 ? kHugeOrder : unsigned(random.below(5));
        const auto type = MigrateType(random.below(kMigrateTypes));
        const FrameUse use = type == MigrateType::movable ? FrameUse::anon : FrameUse::page_table;
        if (auto block = memory.allocate(order, type, use, AllocLevel::min)) held.emplace_back(*block, order);
      } else if (!held.empty()) {
        std::swap(held[random.below(held.size())], held.back());
        auto [block, order] = held.back();
        held.pop_back();
        if (order == kHugeOrder && random.below(2) == 0) {
          memory.split_compound(block);
          for (std::uint64_t n = 0; n < kHugePages; ++n) memory.free(block + n, 0);
        } else {
          memory.free(block, order);
        }
      }
      if (step % 500 == 0) {
        std::uint64_t used = 0;
        for (const auto& [block, order] : held) used += 1ULL << order;
        ASSERT_EQ(memory.check() + used, memory.total_pages());
      }
    }
    for (const auto& [block, order] : held) memory.free(block, order);
    EXPECT_EQ(memory.check(), memory.total_pages());
    EXPECT_EQ(memory.free_blocks(0), 8U);
  }
}

TEST(PhysicalMemory, GivesTheSameFramesForTheSameRequests) {
  const auto run = [] {
    Memory memory(32 * kMiB);
    Random random(9, "same");
    std::vector<Pfn> pages;
    for (int step = 0; step < 5000; ++step) {
      if (random.below(3) > 0) {
        if (auto page = memory.anon()) pages.push_back(*page);
      } else if (!pages.empty()) {
        std::swap(pages[random.below(pages.size())], pages.back());
        memory.free(pages.back(), 0);
        pages.pop_back();
      }
    }
    return pages;
  };
  EXPECT_EQ(run(), run());
}

TEST(PhysicalMemoryDeathTest, RefusesToFreeTwiceOrWhileMapped) {
  Memory memory(4 * kMiB);
  const Pfn page = *memory.anon(), huge = *memory.anon(kHugeOrder);
  EXPECT_DEATH(memory.free(page, 1), "freed with order 1");
  EXPECT_DEATH(memory.free(huge + 1, 0), "freed with order 0");
  memory.frame(page).mapcount = 1;
  EXPECT_DEATH(memory.free(page, 0), "freed with 1 mappings");
  memory.frame(page).mapcount = 0;
  memory.free(page, 0);
  EXPECT_DEATH(memory.free(page, 0), "freed twice");
}

// --- frames by name ---

TEST(PhysicalMemory, FindsTheBlockThatCoversAFrame) {
  Memory memory(64 * kMiB);
  const Pfn small = *memory.anon(), huge = *memory.anon(kHugeOrder);
  for (std::uint64_t n = 0; n < memory.total_pages(); ++n) {
    const PhysicalMemory::Block block = memory.block_of({n});
    EXPECT_TRUE(block.first.value <= n && n < block.end().value);
    EXPECT_EQ(block.is_free, n != small.value && (n < huge.value || n >= huge.value + kHugePages));
  }
  EXPECT_EQ(memory.block_of(huge + 5).first, huge);
  EXPECT_EQ(memory.block_of(huge + 5).order, kHugeOrder);
  EXPECT_EQ(memory.block_of({2 * kMaxBlockPages}).order, PhysicalMemory::kMaxOrder);  // never touched
}

TEST(PhysicalMemory, TakesAnyFreeFrameOutOfItsBlock) {
  Memory memory(64 * kMiB);
  Random random(1, "take_frame");
  std::set<std::uint64_t> taken;
  while (taken.size() < 300) {
    const std::uint64_t n = random.below(memory.total_pages());
    if (!taken.insert(n).second) continue;
    memory.take_frame({n}, FrameUse::kernel);
    EXPECT_EQ(memory.frame({n}).used_as(), FrameUse::kernel);
  }
  EXPECT_EQ(memory.check(), memory.total_pages() - taken.size());
  for (const std::uint64_t n : taken) memory.free({n}, 0);
  EXPECT_EQ(memory.check(), memory.total_pages());
  EXPECT_EQ(memory.free_blocks(PhysicalMemory::kMaxOrder), memory.total_pages() / kMaxBlockPages);
}

TEST(PhysicalMemory, MovedFrameIsAllThatItWas) {
  Memory memory(16 * kMiB);
  const Pfn from = *memory.anon(), to = *memory.anon();
  Frame& frame = memory.frame(from);
  frame.mapcount = 3, frame.mapping = 7, frame.index = 99;
  frame.set(Frame::kDirty), frame.set(Frame::kSwapCache), frame.set(Frame::kActive);
  memory.set_swap_slot(from, 12);
  memory.move_frame(from, to);
  const Frame& moved = memory.frame(to);
  EXPECT_EQ(moved.mapcount, 3U);
  EXPECT_EQ(moved.mapping, 7U);
  EXPECT_EQ(moved.index, 99U);
  EXPECT_EQ(moved.used_as(), FrameUse::anon);
  EXPECT_EQ(moved.flags, Frame::kDirty | Frame::kSwapCache | Frame::kActive);
  EXPECT_EQ(memory.swap_slot(to), 12U);
  memory.free(from, 0);
  EXPECT_EQ(memory.check(), memory.total_pages() - 1);
}

TEST(PhysicalMemory, PageblockTakesItsFreeBlocksAlongToAnotherType) {
  Memory memory(16 * kMiB);
  memory.take_frame({kHugePages + 3}, FrameUse::kernel);
  memory.set_pageblock_type({kHugePages}, MigrateType::unmovable);
  EXPECT_EQ(memory.pageblock_type({kHugePages}), MigrateType::unmovable);
  EXPECT_EQ(memory.pageblock_type({0}), MigrateType::movable);
  EXPECT_EQ(memory.check(), memory.total_pages() - 1);
  EXPECT_EQ(memory.table()->value >> kHugeOrder, 1U);  // where else it would have taken a movable block
}

TEST(PhysicalMemory, TellsHowMuchFreeMemoryLiesInLargeBlocks) {
  Memory memory(16 * kMiB);
  EXPECT_EQ(memory.free_pages_in_blocks(kHugeOrder), memory.total_pages());
  memory.take_frame({3}, FrameUse::kernel);
  EXPECT_EQ(memory.free_pages_in_blocks(kHugeOrder), memory.total_pages() - kHugePages);
  EXPECT_EQ(memory.free_pages_in_blocks(0), memory.total_pages() - 1);
}

}  // namespace
}  // namespace collapsar
