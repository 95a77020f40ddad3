// PhysicalMemory: all frames of the machine under a buddy allocator.
//
// Models:      one zone; free blocks of order 0..10 per migrate type, splitting and merging, fallback that steals
// pageblocks, watermarks;
//              what the kernel knows of each frame (`struct page`): users, mapping, LRU links, flags.
// Simplified:  one NUMA node and one zone; no per-CPU lists; kernel image and memory map take no simulated memory; a
//              freed block always goes to the front of its list; no watermark boost after a fallback, no highatomic reserve.
// Time:        none of its own; costs are charged by whoever asks.
// Owns:        every Frame. All frames stand in one reserved array of host addresses which the host backs with memory
// where it is
//              written, 16 KiB per touched 2 MiB of simulated memory, so that 1 TiB starts small.
// Source:      Linux mm/page_alloc.c (orders, migrate types, fallback order, min_free_kbytes formula), as described in
// the kernel's
//              admin guide (sysctl/vm: min_free_kbytes, watermark_scale_factor); khugepaged.md 2.1 for the recommended
//              minimum.
//
// Invariants:
//  1. Every frame is free (in exactly one block of one list, or in never-touched memory) or allocated, never both.
//  2. free_pages() + allocated pages == total_pages().
//  3. A compound page of order 9 has flag head on its first frame and flag tail on the others.
//  4. A free block is on the list of its order and of the type of its pageblock; only its first frame is linked.
#pragma once

#include <tsl/robin_map.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sim/core/config.h"
#include "sim/core/stats.h"
#include "sim/core/units.h"

namespace collapsar {

// Which of the 2 MiB blocks are in pieces at the start: any, or those at the bottom of memory.
enum class BlockSpread : std::uint8_t { random, together };
template <>
struct EnumNames<BlockSpread> {
  static constexpr std::array<std::pair<std::string_view, BlockSpread>, 2> names{
      {{"random", BlockSpread::random}, {"together", BlockSpread::together}}};
};

struct FragmentationConfig {
  double unmovable = 0, movable = 0, hybrid = 0;  // shares of all 2 MiB blocks
  double fill = 0.5;
  BlockSpread spread = BlockSpread::random;
  bool any() const { return unmovable > 0 || movable > 0 || hybrid > 0; }
  std::uint64_t cache_pages() const;  // of a movable or hybrid block
  template <class V>
  void describe(V& v) {
    v("unmovable", unmovable, "share of 2 MiB blocks that hold one 4 KiB page of the kernel, which stays");
    v("movable", movable, "share that hold page cache of other programs, which compaction can move");
    v("hybrid", hybrid, "share that hold both, so that compaction moves pages in vain");
    v("fill", fill, "share of a movable or hybrid block that page cache takes: 1 to 510 of its 512 pages");
    v("spread", spread, "random: anywhere in memory | together: from the bottom of memory up");
  }
  void validate() const;
};

struct MemoryConfig {
  Bytes size{16 * kGiB};
  FragmentationConfig fragmentation{};
  template <class V>
  void describe(V& v) {
    v("size", size, "bytes of main memory; a multiple of 4 MiB");
    v("fragmentation", fragmentation, "how much of it is in pieces at the start");
  }
  void validate() const;
};

enum class MigrateType : std::uint8_t { unmovable, movable, reclaimable };
inline constexpr unsigned kMigrateTypes = 3;

// What a frame is used for.
// `kernel`: memory of the kernel's own, which nothing here looks into; it never moves.
enum class FrameUse : std::uint8_t { free, anon, file, page_table, zero_page, huge_zero_page, hugetlb, kernel };

// 28 bytes. `lru_prev`/`lru_next` link LRU lists (allocated frames) or buddy lists (first frame of a free block). Tails are on no
// list: those of the first two count for the whole compound page.
// What a page is, in eight bytes that need not lie on a multiple of eight.
struct [[gnu::packed, gnu::aligned(4)]] FrameIdentity {
  std::uint64_t index : 48 = 0;    // page number in the mapping (anon: va >> 12 where it was first mapped)
  std::uint64_t use : 8 = 0;       // FrameUse
  std::uint64_t order : 7 = 0;     // of the allocation (first frame) or of the free block
  std::uint64_t in_batch : 1 = 0;  // waits in a CPU's batch for its LRU list, which holds a reference
};

struct Frame : FrameIdentity {
  static constexpr std::uint32_t kNone = ~0U;
  enum Flag : std::uint16_t {
    kHead = 1,                // first frame of a compound page
    kTail = 2,                // another frame of a compound page
    kLru = 4,                 // on an LRU list (compound: head only)
    kActive = 8,              // on the active list
    kLocked = 16,             // page lock held
    kReferenced = 32,         // PG_referenced
    kDirty = 64,              // contents differ from the swap slot or file
    kSwapCache = 128,         // a swap slot (swap_slot()) holds a copy, or is being written or read
    kWriteback = 256,         // being written to the swap device
    kUnevictable = 512,       // mlocked
    kLazyFree = 1024,         // MADV_FREE: may be dropped if still clean
    kIsolated = 2048,         // taken off the LRU by collapse, reclaim or compaction
    kPartiallyMapped = 4096,  // compound page some of whose 4 KiB pages are no longer mapped
    kSwapBacked = 8192,       // file page of shared memory: goes to swap
    kData = 32768,            // holds something else than zeros, where contents are followed (KernelContext)
    kPoisoned = 16384,        // its memory is damaged, and nobody has noticed yet: reading it in a copy shows
  };
  std::uint32_t lru_prev = kNone, lru_next = kNone;
  std::uint32_t mapcount = 0;  // PTEs that map this very 4 KiB page
  std::uint16_t pins = 0;      // extra references (get_user_pages, I/O)
  std::uint16_t flags = 0;
  std::uint32_t mapping = 0;  // anon: id of its anon_vma; file: id of the file; 0 = none

  bool is(Flag f) const { return flags & f; }
  void set(Flag f) { flags |= f; }
  void clear(Flag f) { flags &= std::uint16_t(~f); }
  FrameUse used_as() const { return FrameUse(use); }
  // References beside those of mappings and of the caches.
  std::uint32_t extra_references() const { return std::uint32_t(pins) + std::uint32_t(in_batch); }
};
static_assert(sizeof(Frame) == 28);

struct Watermarks {
  std::uint64_t min = 0, low = 0, high = 0;  // pages
};

// How deep an allocation may dig.
enum class AllocLevel : std::uint8_t {
  high,
  low,
  min,
  reserve
};  // leaves this many pages free; reserve: down to the last page

struct MemoryStats {
  std::uint64_t allocations = 0, frees = 0, huge_allocations = 0, huge_failures = 0, fallbacks = 0;
  template <class V>
  void describe(V& v) {
    v("allocations", allocations, "blocks", "allocated from the buddy lists");
    v("frees", frees, "blocks", "given back");
    v("huge_allocations", huge_allocations, "blocks", "of order 9 allocated");
    v("huge_failures", huge_failures, "requests", "for order 9 that found no block");
    v("fallbacks", fallbacks, "requests", "served from pageblocks of another migrate type");
  }
};

class PhysicalMemory {
 public:
  static constexpr unsigned kMaxOrder = 10;  // largest buddy block: 4 MiB (MAX_PAGE_ORDER)
  static constexpr std::uint64_t kMaxBlockPages = 1ULL << kMaxOrder;
  static constexpr unsigned kGiganticOrder = 18;  // a 1 GiB hugetlb page
  explicit PhysicalMemory(const MemoryConfig& config);
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;

  std::uint64_t total_pages() const { return total_pages_; }
  std::uint64_t free_pages() const { return free_pages_; }
  const Watermarks& watermarks() const { return watermarks_; }
  void set_watermarks(std::uint64_t min);  // in pages, as a write to /proc/sys/vm/min_free_kbytes
  // Raises `min` (and low, high with it) as set_recommended_min_free_kbytes does while THP is on; never lowers it.
  void raise_min_free_for_thp();

  // A block of 2^order frames, or nullopt if that would leave fewer than the level's free pages or no such block
  // exists. Order 9 becomes a compound page (head and tail flags). All frames come with use = `use` and counters
  // cleared. Orders 0..10 come from the buddy lists; kGiganticOrder from never-touched memory, as hugetlb reserves it
  // at boot.
  std::optional<Pfn> allocate(unsigned order, MigrateType type, FrameUse use, AllocLevel level = AllocLevel::low);
  // Requires: allocated with this order (or one frame of a split compound page with order 0); nothing maps or pins it
  // any more and it is on no LRU list.
  void free(Pfn pfn, unsigned order);
  // Takes exactly this frame out of the free block that covers it, at any watermark. Requires: it is free.
  void take_frame(Pfn pfn, FrameUse use);
  // `to`, which nobody knows yet, becomes all that `from` is: use, mapping, index, map count, contents, swap slot. `from`
  // is left unmapped, a frame of use `kernel` to be freed. Where else `from` is known (page tables, page cache, swap
  // cache) is the caller's to mend. Requires: neither is compound, on an LRU list or in a batch; `from` has no pins.
  void move_frame(Pfn from, Pfn to);
  // The pageblock changes type, its free blocks change lists. Requires: no free block there is larger than the pageblock.
  void set_pageblock_type(Pfn first, MigrateType type);
  // A compound page becomes 512 separate pages, each to be freed alone. They take over mapping, index, swap slot and
  // the flags that describe contents (not kLru: the head keeps its place, the others are the caller's to add).
  // Requires: no PMD maps it.
  void split_compound(Pfn head);

  Frame& frame(Pfn pfn) { return frames_[pfn.value]; }
  const Frame& frame(Pfn pfn) const { return frames_[pfn.value]; }
  Pfn pfn_of(const Frame& f) const { return {std::uint64_t(&f - frames_.get())}; }
  // First frame of the compound page that `pfn` belongs to (itself if it is not compound).
  Pfn head_of(Pfn pfn) const { return frame(pfn).is(Frame::kTail) ? Pfn{pfn.value & ~(kHugePages - 1)} : pfn; }
  // PMDs that map the compound page whole, and PTEs that map 4 KiB pages of it. Kept in the first two tail frames.
  std::uint32_t& pmd_mapcount(Pfn head) { return frame(head + 1).lru_prev; }
  std::uint32_t& pte_mappings(Pfn head) { return frame(head + 2).lru_prev; }
  // Of a page with kSwapCache; of a compound page the first of its 512.
  std::uint32_t swap_slot(Pfn pfn) const { return swap_slots_.at(pfn.value); }
  void set_swap_slot(Pfn pfn, std::uint32_t slot) { swap_slots_.insert_or_assign(pfn.value, slot); }
  void drop_swap_slot(Pfn pfn) { swap_slots_.erase(pfn.value); }
  // PTE + PMD mappings of the 4 KiB page `pfn`.
  std::uint32_t total_mapcount(Pfn pfn);

  MigrateType pageblock_type(Pfn pfn) const { return block_type_[pfn.value >> kHugeOrder]; }
  // The block, free or allocated, that covers a frame; never-touched memory stands as free blocks of 4 MiB, and a frame
  // of a gigantic page but the first as a block of its own.
  struct Block {
    Pfn first;
    unsigned order;
    bool is_free;
    Pfn end() const { return first + (1ULL << order); }
  };
  Block block_of(Pfn pfn) const;
  // Free blocks of at least `order`, all types, never-touched memory as blocks of 4 MiB (`order` 9: what a huge page
  // could come from).
  std::uint64_t free_blocks(unsigned order) const;
  std::uint64_t free_pages_in_blocks(unsigned order) const;  // free pages that lie in such blocks
  // Walks all frames and lists and counts; SIM_ASSERTs invariants 1 to 3. Returns free pages found.
  std::uint64_t check() const;
  MemoryStats& stats() { return stats_; }
  std::uint64_t host_bytes() const;  // of host memory held by this object

 private:
  struct List {
    std::uint32_t head = Frame::kNone;
    std::uint64_t blocks = 0;
  };
  struct Unmapper {
    std::uint64_t bytes;
    void operator()(Frame* frames) const;
  };
  static constexpr std::uint64_t pages_of(unsigned order) { return 1ULL << order; }
  static std::unique_ptr<Frame[], Unmapper> reserve_frames(std::uint64_t count);

  List& list(unsigned order, MigrateType type) { return lists_[order][std::size_t(type)]; }
  const List& list(unsigned order, MigrateType type) const { return lists_[order][std::size_t(type)]; }
  void push(Pfn block, unsigned order, MigrateType type);
  void remove(Pfn block, unsigned order, MigrateType type);
  bool is_free_block(Pfn first, unsigned order) const;
  void retype(Pfn block, unsigned order, MigrateType type);

  std::uint64_t pages_kept(AllocLevel level) const;
  std::optional<Pfn> take(unsigned order, MigrateType type);
  std::optional<Pfn> take_smallest(unsigned order, MigrateType type);
  std::optional<Pfn> take_fallback(unsigned order, MigrateType type);
  std::optional<Pfn> take_gigantic();
  Pfn take_from(Pfn block, unsigned block_order, unsigned order, MigrateType rest_type);
  Pfn steal(Pfn block, unsigned block_order, unsigned order, MigrateType type);
  bool claim_pageblock(Pfn block, MigrateType type);
  void move_free_blocks(Pfn first, MigrateType from, MigrateType to);
  bool open_virgin_block();
  void give_back(Pfn block, unsigned order);
  void prepare(Pfn block, unsigned order, FrameUse use);

  std::uint64_t check_lists() const;
  std::uint64_t check_block(Pfn block, std::array<std::array<std::uint64_t, kMigrateTypes>, kMaxOrder + 1>& seen) const;

  std::unique_ptr<Frame[], Unmapper> frames_;  // address space for all frames; the host backs what has been written
  std::vector<MigrateType> block_type_;  // per 2 MiB pageblock; a free block is on the list of its pageblock's type
  std::array<std::array<List, kMigrateTypes>, kMaxOrder + 1> lists_{};
  tsl::robin_map<std::uint64_t, std::uint32_t> swap_slots_;    // by frame: few pages are in the swap cache
  std::array<std::uint32_t, kMigrateTypes> orders_present_{};  // bit n: list n of the type is not empty
  std::uint64_t total_pages_ = 0, free_pages_ = 0;
  std::uint64_t next_virgin_ =
      0;  // [next_virgin_, total): never touched, free, movable, on no list; a multiple of 4 MiB
  Watermarks watermarks_;
  MemoryStats stats_;
};

}  // namespace collapsar
