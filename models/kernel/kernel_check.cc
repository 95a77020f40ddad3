// Kernel::check: a census of all frames and swap slots against all page tables.
#include <tsl/robin_map.h>

#include "models/kernel/kernel.h"

namespace collapsar {

namespace {

// One count per frame; host memory only for 2 MiB blocks that were counted, 1 byte a frame. What a byte does not hold is counted
// apart.
class FrameCounts {
 public:
  void add(Pfn pfn) {
    const std::size_t block = pfn.value >> kHugeOrder;
    if (blocks_.size() <= block) blocks_.resize(block + 1);
    if (!blocks_[block]) blocks_[block] = std::make_unique<Block>();
    std::uint8_t& count = (*blocks_[block])[pfn.value % kHugePages];
    if (count == kMost) ++beyond_[pfn.value];
    else ++count;
  }
  std::uint32_t of(Pfn pfn) const {
    const std::size_t block = pfn.value >> kHugeOrder;
    if (block >= blocks_.size() || !blocks_[block]) return 0;
    const std::uint32_t count = (*blocks_[block])[pfn.value % kHugePages];
    const auto more = count == kMost ? beyond_.find(pfn.value) : beyond_.end();
    return count + (more == beyond_.end() ? 0 : more->second);
  }

 private:
  static constexpr std::uint32_t kMost = 255;
  using Block = std::array<std::uint8_t, kHugePages>;
  std::vector<std::unique_ptr<Block>> blocks_;
  tsl::robin_map<std::uint64_t, std::uint32_t> beyond_;
};

}  // namespace

struct Kernel::Census {
  Kernel& kernel;
  PhysicalMemory& memory;
  bool at_rest;
  // What the page tables say. Looked up, never walked.
  FrameCounts ptes, huge_leaves;
  FrameCounts cached;                                       // frames of the page cache
  tsl::robin_map<std::uint64_t, std::uint32_t> swap_users;  // by slot
  // What the frames say.
  std::uint64_t table_frames = 0, in_flight = 0, batched = 0;

  void count_page_tables();
  void count_frames();
  void count_block(Pfn block);
  void check_anon(Pfn block);
  void check_file(Pfn block);
  std::uint32_t check_map_counts(Pfn block);
  void check_map_count(Pfn pfn, std::uint32_t counted, std::uint32_t found) const;
  void count_swap_cache(Pfn block);
  void check_swap() const;
};

void Kernel::check(bool at_rest) {
  context_.memory.check();
  Census census{*this, context_.memory, at_rest, {}, {}, {}, {}};
  census.count_page_tables();
  census.count_frames();
  census.check_swap();
}

void Kernel::Census::count_page_tables() {
  std::uint64_t tables = 0;
  for (const auto& mm : kernel.processes_.address_spaces()) {
    tables += mm->table().table_pages();
    if (at_rest) mm->check();
    mm->table().visit(mm->user_range(), [&](VirtAddr, Pte& e, PageSize size) {
      if (e.swap()) ++swap_users[e.swap_slot()];
      else if (e.present() && !e.zero_page()) (size == PageSize::k4K ? ptes : huge_leaves).add(e.pfn());
    });
  }
  kernel.page_cache_.for_each_entry([&](FileId, std::uint64_t, PageCache::Entry e) {
    if (e.swap()) ++swap_users[e.slot()];
    else cached.add(e.pfn());
  });
  table_frames = tables;
}

// Up to the last allocated frame: memory beyond was never touched.
void Kernel::Census::count_frames() {
  const std::uint64_t allocated = memory.total_pages() - memory.free_pages();
  std::uint64_t seen = 0, tables = 0;
  for (Pfn p{0}; seen < allocated;) {
    const Frame& f = memory.frame(p);
    const std::uint64_t pages = 1ULL << f.order;
    if (f.used_as() != FrameUse::free) {
      seen += pages;
      tables += f.used_as() == FrameUse::page_table;
      count_block(p);
    }
    p += pages;
  }
  SIM_ASSERT(seen == allocated, "{} frames are allocated, {} found", allocated, seen);
  SIM_ASSERT(tables == table_frames, "{} frames hold page tables, the address spaces count {}", tables, table_frames);
  const std::uint64_t waiting = kernel.reclaim_.batches().pages();
  SIM_ASSERT(batched == waiting, "{} frames are marked as in a batch, the batches hold {}", batched, waiting);
  SIM_ASSERT(!at_rest || in_flight == 0, "{} pages belong to nobody", in_flight);
}

void Kernel::Census::count_block(Pfn block) {
  const Frame& f = memory.frame(block);
  batched += f.in_batch;
  SIM_ASSERT(!f.in_batch || !f.is(Frame::kLru), "frame {:#x} is in a batch and on a list", block.value);
  switch (f.used_as()) {
    case FrameUse::anon: return check_anon(block);
    case FrameUse::file: return check_file(block);
    case FrameUse::hugetlb:
      check_map_count(block, f.mapcount, huge_leaves.of(block));
      in_flight += f.mapcount == 0;
      return;
    case FrameUse::zero_page:
      SIM_ASSERT(block == kernel.context_.zero_page, "frame {:#x} is a second zero page", block.value);
      return;
    case FrameUse::huge_zero_page:
      in_flight += block != kernel.huge_zero_.page();  // two faults may be making one
      return;
    case FrameUse::kernel:
    case FrameUse::page_table:
    case FrameUse::free: return;
  }
}

void Kernel::Census::check_file(Pfn block) {
  const Frame& first = memory.frame(block);
  check_map_counts(block);
  for (Pfn p = block; p < block + (1ULL << first.order); ++p)
    SIM_ASSERT(cached.of(p) == (first.mapping != 0) || !at_rest, "frame {:#x} stands {} times in the page cache",
               p.value, cached.of(p));
  if (first.is(Frame::kSwapCache)) count_swap_cache(block);
  else in_flight += first.mapping == 0 && !first.in_batch;
}

void Kernel::Census::check_anon(Pfn block) {
  const Frame& first = memory.frame(block);
  const std::uint32_t mappings = check_map_counts(block);
  if (first.is(Frame::kSwapCache)) count_swap_cache(block);
  else if (mappings == 0 && first.extra_references() == 0) ++in_flight;
}

// Returns how many entries map the page or a part of it.
std::uint32_t Kernel::Census::check_map_counts(Pfn block) {
  const Frame& first = memory.frame(block);
  std::uint32_t mappings = 0;
  for (Pfn p = block; p < block + (1ULL << first.order); ++p) {
    check_map_count(p, memory.frame(p).mapcount, ptes.of(p));
    mappings += memory.frame(p).mapcount;
  }
  if (first.is(Frame::kHead)) {
    check_map_count(block, memory.pmd_mapcount(block), huge_leaves.of(block));
    SIM_ASSERT(kernel.rmap_.pte_mappings(block) == mappings, "compound page {:#x} counts {} PTEs, its pages {}",
               block.value, kernel.rmap_.pte_mappings(block), mappings);
    mappings += memory.pmd_mapcount(block);
  }
  return mappings;
}

// A page table taken out by a collapse under way is not found.
void Kernel::Census::check_map_count(Pfn pfn, std::uint32_t counted, std::uint32_t found) const {
  SIM_ASSERT(found == counted || (!at_rest && found < counted), "frame {:#x} counts {} mappings, page tables have {}",
             pfn.value, counted, found);
}

void Kernel::Census::count_swap_cache(Pfn block) {
  const Frame& first = memory.frame(block);
  const std::uint32_t slot = memory.swap_slot(block);
  for (std::uint32_t i = 0; i < 1U << first.order; ++i) {
    const auto found = kernel.swap_cache_.find(slot + i);
    SIM_ASSERT(found == block + i, "swap slot {} is not cached by frame {:#x}", slot + i, (block + i).value);
    ++swap_users[slot + i];
  }
}

void Kernel::Census::check_swap() const {
  const SwapDevice& swap = kernel.context_.swap;
  const std::uint64_t used = swap.slots() - swap.free_slots();
  SIM_ASSERT(used == swap_users.size() || (!at_rest && used >= swap_users.size()),
             "{} swap slots are taken, {} are in use", used, swap_users.size());
  for (const auto& [slot, users] : swap_users)
    SIM_ASSERT(swap.users(SwapSlot(slot)) == users || !at_rest, "swap slot {} counts {} users, found {}", slot,
               swap.users(SwapSlot(slot)), users);
  SIM_ASSERT(!at_rest || swap.in_flight() == 0, "{} swap requests are in flight", swap.in_flight());
}

}  // namespace collapsar
