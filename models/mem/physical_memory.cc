#include "models/mem/physical_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "sim/core/error.h"

namespace collapsar {

namespace {

constexpr std::uint64_t kMaxBlockPages = 1ULL << PhysicalMemory::kMaxOrder;

// Whose pageblocks a request may take when its own type has none left, in this order: Linux mm/page_alloc.c,
// `fallbacks`.
constexpr MigrateType kFallbacks[kMigrateTypes][kMigrateTypes - 1] = {
    {MigrateType::reclaimable, MigrateType::movable},    // unmovable
    {MigrateType::reclaimable, MigrateType::unmovable},  // movable
    {MigrateType::unmovable, MigrateType::movable},      // reclaimable
};

constexpr std::uint64_t pages_of(unsigned order) { return 1ULL << order; }

std::uint64_t integer_sqrt(std::uint64_t n) {
  auto root = std::uint64_t(std::sqrt(double(n)));
  while (root * root > n) --root;
  while ((root + 1) * (root + 1) <= n) ++root;
  return root;
}

// init_per_zone_wmark_min: 4 * sqrt(KiB of low memory), between 128 KiB and 256 MiB. Result in pages.
std::uint64_t default_min_free(std::uint64_t total_pages) {
  const std::uint64_t kib = integer_sqrt(16 * total_pages * (kPageBytes / kKiB));
  return std::clamp<std::uint64_t>(kib, 128, 262144) / (kPageBytes / kKiB);
}

bool is_migratable(FrameUse use) { return use == FrameUse::anon || use == FrameUse::file; }

}  // namespace

void MemoryConfig::validate() const {
  constexpr std::uint64_t kStep = kMaxBlockPages * kPageBytes;
  constexpr std::uint64_t kLimit =
      (std::uint64_t{Frame::kNone} << kPageShift) / kStep * kStep;  // links are 32 bits wide
  if (size.value == 0 || size.value % kStep != 0 || size.value > kLimit)
    throw std::invalid_argument(
        fmt::format("size: found {}, expected a multiple of 4MiB up to {}", to_text(size), to_text(Bytes{kLimit})));
}

void PhysicalMemory::Unmapper::operator()(Frame* frames) const { ::munmap(frames, bytes); }

// Reads of frames never written give zeroes, that is FrameUse::free.
std::unique_ptr<Frame[], PhysicalMemory::Unmapper> PhysicalMemory::reserve_frames(std::uint64_t count) {
  const std::uint64_t bytes = count * sizeof(Frame);
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED)
    throw SimulationError(fmt::format("the host refuses {} of address space for the frames of {} of simulated memory",
                                      to_text(Bytes{bytes}), to_text(Bytes{count * kPageBytes})));
  return {static_cast<Frame*>(at), Unmapper{bytes}};
}

PhysicalMemory::PhysicalMemory(const MemoryConfig& config)
    : frames_((config.validate(), reserve_frames(config.size.value >> kPageShift))),
      total_pages_(config.size.value >> kPageShift),
      free_pages_(total_pages_) {
  block_type_.assign(total_pages_ >> kHugeOrder, MigrateType::movable);  // memmap_init: all pageblocks start movable
  set_watermarks(default_min_free(total_pages_));
}

// __setup_per_zone_wmarks with watermark_scale_factor 10 (of 10000), its default.
void PhysicalMemory::set_watermarks(std::uint64_t min) {
  const std::uint64_t step = std::max(min / 4, total_pages_ * 10 / 10000);
  watermarks_ = {min, min + step, min + 2 * step};
}

void PhysicalMemory::raise_min_free_for_thp() {
  constexpr std::uint64_t kPcpTypes = 3;  // MIGRATE_PCPTYPES
  const std::uint64_t recommended = kHugePages * 2 + kHugePages * kPcpTypes * kPcpTypes;
  const std::uint64_t min = std::min(recommended, total_pages_ / 20);
  if (min > watermarks_.min) set_watermarks(min);
}

std::uint64_t PhysicalMemory::pages_kept(AllocLevel level) const {
  switch (level) {
    case AllocLevel::high: return watermarks_.high;
    case AllocLevel::low: return watermarks_.low;
    case AllocLevel::min: return watermarks_.min;
    case AllocLevel::reserve: return 0;
  }
  return 0;
}

// --- free lists ---

void PhysicalMemory::push(Pfn block, unsigned order, MigrateType type) {
  List& l = list(order, type);
  Frame& f = frame(block);
  f.use = std::uint64_t(FrameUse::free);
  f.order = order;
  f.lru_prev = Frame::kNone;
  f.lru_next = l.head;
  if (l.head != Frame::kNone) frames_[l.head].lru_prev = std::uint32_t(block.value);
  l.head = std::uint32_t(block.value);
  ++l.blocks;
  orders_present_[std::size_t(type)] |= 1U << order;
}

void PhysicalMemory::remove(Pfn block, unsigned order, MigrateType type) {
  List& l = list(order, type);
  Frame& f = frame(block);
  (f.lru_prev == Frame::kNone ? l.head : frames_[f.lru_prev].lru_next) = f.lru_next;
  if (f.lru_next != Frame::kNone) frames_[f.lru_next].lru_prev = f.lru_prev;
  f.lru_prev = f.lru_next = Frame::kNone;
  --l.blocks;
  if (l.head == Frame::kNone) orders_present_[std::size_t(type)] &= ~(1U << order);
}

// Requires: a block, free or not, starts at `first`; true of every buddy of an allocated block.
bool PhysicalMemory::is_free_block(Pfn first, unsigned order) const {
  const Frame& f = frame(first);
  return f.used_as() == FrameUse::free && f.order == order;
}

void PhysicalMemory::retype(Pfn block, unsigned order, MigrateType type) {
  const std::uint64_t first = block.value >> kHugeOrder;
  std::fill_n(block_type_.begin() + std::ptrdiff_t(first), pages_of(order) >> kHugeOrder, type);
}

// --- allocation ---

std::optional<Pfn> PhysicalMemory::allocate(unsigned order, MigrateType type, FrameUse use, AllocLevel level) {
  SIM_ASSERT(order <= kMaxOrder || order == kGiganticOrder, "no blocks of order {}", order);
  SIM_ASSERT(use != FrameUse::free, "allocation of order {} for use `free`", order);
  std::optional<Pfn> block;
  if (free_pages_ >= pages_of(order) + pages_kept(level))
    block = order == kGiganticOrder ? take_gigantic() : take(order, type);
  if (!block) {
    stats_.huge_failures += order == kHugeOrder;
    return std::nullopt;
  }
  free_pages_ -= pages_of(order);
  ++stats_.allocations;
  stats_.huge_allocations += order == kHugeOrder;
  prepare(*block, order, use);
  return block;
}

void PhysicalMemory::prepare(Pfn block, unsigned order, FrameUse use) {
  Frame fresh;
  fresh.use = std::uint64_t(use);
  if (order == kHugeOrder) fresh.flags = Frame::kTail;
  std::fill_n(&frame(block), pages_of(order), fresh);
  Frame& first = frame(block);
  first.order = order;
  first.flags = order == kHugeOrder ? Frame::kHead : 0;
  if (order == kHugeOrder) pmd_mapcount(block) = pte_mappings(block) = 0;
}

// Never-touched memory stands behind the last block of the movable list of order 10: it is opened when that list is
// empty.
std::optional<Pfn> PhysicalMemory::take(unsigned order, MigrateType type) {
  if (auto block = take_smallest(order, type)) return block;
  const bool opened = list(kMaxOrder, MigrateType::movable).blocks == 0 && open_virgin_block();
  if (opened && type == MigrateType::movable) return take_smallest(order, type);
  return take_fallback(order, type);
}

bool PhysicalMemory::open_virgin_block() {
  if (next_virgin_ == total_pages_) return false;
  push(Pfn{next_virgin_}, kMaxOrder, MigrateType::movable);
  next_virgin_ += kMaxBlockPages;
  return true;
}

std::optional<Pfn> PhysicalMemory::take_smallest(unsigned order, MigrateType type) {
  const std::uint32_t present = orders_present_[std::size_t(type)] >> order;
  if (present == 0) return std::nullopt;
  const unsigned block_order = order + unsigned(std::countr_zero(present));
  const Pfn block{list(block_order, type).head};
  remove(block, block_order, type);
  return take_from(block, block_order, order, type);
}

// Keeps the first 2^order frames of a block taken off its list; the upper halves go to the lists of `rest_type`.
Pfn PhysicalMemory::take_from(Pfn block, unsigned block_order, unsigned order, MigrateType rest_type) {
  while (block_order > order) {
    --block_order;
    push(block + pages_of(block_order), block_order, rest_type);
  }
  return block;
}

// __rmqueue_fallback: the largest block of another type, so that the pageblock can change hands; except that a movable
// request which may not claim the pageblock (blocks below half its order) takes the smallest that fits.
std::optional<Pfn> PhysicalMemory::take_fallback(unsigned order, MigrateType type) {
  const auto& others = kFallbacks[std::size_t(type)];
  const auto block_of = [&](unsigned block_order) -> std::optional<Pfn> {
    for (MigrateType other : others)
      if (list(block_order, other).blocks > 0) return Pfn{list(block_order, other).head};
    return std::nullopt;
  };
  const bool may_claim_small = type != MigrateType::movable;
  for (unsigned n = kMaxOrder + 1; n-- > order;) {
    if (!may_claim_small && n < kHugeOrder / 2) break;
    if (auto block = block_of(n)) return steal(*block, n, order, type);
  }
  for (unsigned n = order; !may_claim_small && n < kHugeOrder / 2; ++n)
    if (auto block = block_of(n)) return steal(*block, n, order, type);
  return std::nullopt;
}

// As steal_suitable_fallback of Linux 6.12: whole pageblocks change type at once; of a smaller block the pageblock is
// claimed if half of it is free or of the requester's kind, else only this block is split and the rest stays with its
// type.
Pfn PhysicalMemory::steal(Pfn block, unsigned block_order, unsigned order, MigrateType type) {
  ++stats_.fallbacks;
  const MigrateType from = pageblock_type(block);
  const bool can_claim = block_order >= kHugeOrder / 2 || type != MigrateType::movable;
  if (block_order < kHugeOrder && can_claim && claim_pageblock(block, type)) return *take_smallest(order, type);
  remove(block, block_order, from);
  if (block_order >= kHugeOrder) retype(block, block_order, type);
  return take_from(block, block_order, order, block_order >= kHugeOrder ? type : from);
}

// Moves the free blocks of the pageblock around `block` to `type` if enough of it is free or alike. Requires: no free
// block there is larger than the pageblock.
bool PhysicalMemory::claim_pageblock(Pfn block, MigrateType type) {
  const MigrateType from = pageblock_type(block);
  const Pfn first{align_down(block.value, kHugePages)};
  std::uint64_t free = 0, movable = 0;
  for (Pfn p = first; p < first + kHugePages;) {
    const Frame& f = frame(p);
    const std::uint64_t step = f.used_as() == FrameUse::free ? pages_of(f.order) : 1;
    if (f.used_as() == FrameUse::free) free += step;
    movable += is_migratable(f.used_as());
    p += step;
  }
  std::uint64_t alike = 0;  // of a pageblock that was neither movable nor becomes so, nothing is known to be alike
  if (type == MigrateType::movable) alike = movable;
  if (type != MigrateType::movable && from == MigrateType::movable) alike = kHugePages - free - movable;
  if (free + alike < kHugePages / 2) return false;
  for (Pfn p = first; p < first + kHugePages;) {
    const Frame& f = frame(p);
    const bool is_free = f.used_as() == FrameUse::free;
    const unsigned order = is_free ? unsigned(f.order) : 0;
    if (is_free) remove(p, order, from), push(p, order, type);
    p += pages_of(order);
  }
  retype(first, kHugeOrder, type);
  return true;
}

std::optional<Pfn> PhysicalMemory::take_gigantic() {
  const std::uint64_t first = align_up(next_virgin_, pages_of(kGiganticOrder));
  if (first + pages_of(kGiganticOrder) > total_pages_) return std::nullopt;
  while (next_virgin_ < first) open_virgin_block();
  next_virgin_ += pages_of(kGiganticOrder);
  return Pfn{first};
}

// --- freeing ---

void PhysicalMemory::free(Pfn pfn, unsigned order) {
  const Frame& first = frame(pfn);
  SIM_ASSERT(first.used_as() != FrameUse::free, "frame {:#x} freed twice", pfn.value);
  SIM_ASSERT(first.order == order && !first.is(Frame::kTail), "frame {:#x} of order {} freed with order {}", pfn.value,
             unsigned(first.order), order);
  SIM_ASSERT(!first.is(Frame::kHead) || pmd_mapcount(pfn) == 0, "compound page {:#x} freed while {} PMDs map it",
             pfn.value, pmd_mapcount(pfn));
  for (Pfn p = pfn; p < pfn + pages_of(order); ++p) {
    Frame& f = frame(p);
    SIM_ASSERT(f.mapcount == 0 && f.extra_references() == 0 && !f.is(Frame::kLru) && !f.is(Frame::kSwapCache),
               "frame {:#x} freed with {} mappings, {} pins, flags {:#x}", p.value, f.mapcount, f.extra_references(),
               f.flags);
    f = Frame{};
  }
  free_pages_ += pages_of(order);
  ++stats_.frees;
  const unsigned block_order = std::min(order, kMaxOrder);
  for (Pfn p = pfn; p < pfn + pages_of(order); p += pages_of(block_order)) give_back(p, block_order);
}

// __free_one_page: merges with free buddies; a block takes the type of the pageblock it was freed in.
void PhysicalMemory::give_back(Pfn block, unsigned order) {
  const MigrateType type = pageblock_type(block);
  while (order < kMaxOrder) {
    const Pfn buddy{block.value ^ pages_of(order)};
    if (!is_free_block(buddy, order)) break;
    remove(buddy, order, pageblock_type(buddy));
    if (order >= kHugeOrder) retype(buddy, order, type);
    block.value &= ~pages_of(order);
    ++order;
  }
  push(block, order, type);
}

void PhysicalMemory::split_compound(Pfn head) {
  Frame& first = frame(head);
  SIM_ASSERT(first.is(Frame::kHead), "frame {:#x} is no compound page", head.value);
  SIM_ASSERT(pmd_mapcount(head) == 0, "compound page {:#x} split while {} PMDs map it", head.value, pmd_mapcount(head));
  constexpr std::uint16_t kOfContents = Frame::kDirty | Frame::kSwapCache | Frame::kLazyFree | Frame::kReferenced |
                                        Frame::kActive | Frame::kUnevictable | Frame::kSwapBacked;
  first.clear(Frame::kHead);
  first.clear(Frame::kPartiallyMapped);
  first.order = 0;
  for (std::uint64_t i = 1; i < kHugePages; ++i) {
    Frame& f = frame(head + i);
    f.flags = std::uint16_t((f.flags & ~Frame::kTail) | (first.flags & kOfContents));
    f.mapping = first.mapping;
    f.index = first.index + i;
    if (first.is(Frame::kSwapCache)) set_swap_slot(head + i, swap_slot(head) + std::uint32_t(i));
  }
  pmd_mapcount(head) = pte_mappings(head) = Frame::kNone;
}

std::uint32_t PhysicalMemory::total_mapcount(Pfn pfn) {
  const Frame& f = frame(pfn);
  const bool compound = f.is(Frame::kHead) || f.is(Frame::kTail);
  return f.mapcount + (compound ? pmd_mapcount(head_of(pfn)) : 0);
}

// --- inspection ---

std::uint64_t PhysicalMemory::free_blocks(unsigned order) const {
  std::uint64_t blocks = order <= kMaxOrder ? (total_pages_ - next_virgin_) / kMaxBlockPages : 0;
  for (unsigned n = order; n <= kMaxOrder; ++n)
    for (const List& l : lists_[n]) blocks += l.blocks;
  return blocks;
}

std::uint64_t PhysicalMemory::host_bytes() const {
  return sizeof(*this) + next_virgin_ * sizeof(Frame) + block_type_.capacity() * sizeof(MigrateType);
}

// The pass over all frames meets each block once; the pass over the lists meets as many: so each is on exactly one
// list.
std::uint64_t PhysicalMemory::check() const {
  std::array<std::array<std::uint64_t, kMigrateTypes>, kMaxOrder + 1> seen{};
  for (Pfn p{0}; p.value < next_virgin_;) p += check_block(p, seen);
  const std::uint64_t free = check_lists() + total_pages_ - next_virgin_;
  for (unsigned n = 0; n <= kMaxOrder; ++n)
    for (unsigned t = 0; t < kMigrateTypes; ++t)
      SIM_ASSERT(seen[n][t] == lists_[n][t].blocks, "{} free blocks of order {} and type {}, but {} on the list",
                 seen[n][t], n, t, lists_[n][t].blocks);
  SIM_ASSERT(free == free_pages_, "{} free pages found, {} counted", free, free_pages_);
  return free;
}

// Returns the block's pages.
std::uint64_t PhysicalMemory::check_block(
    Pfn block, std::array<std::array<std::uint64_t, kMigrateTypes>, kMaxOrder + 1>& seen) const {
  const Frame& first = frame(block);
  const std::uint64_t pages = pages_of(first.order);
  SIM_ASSERT(block.value % pages == 0 && block.value + pages <= next_virgin_, "block {:#x} of order {} stands askew",
             block.value, unsigned(first.order));
  for (Pfn p = block; p < block + pages; ++p) {
    const bool tail = first.is(Frame::kHead) && p != block;
    SIM_ASSERT(frame(p).use == first.use && frame(p).is(Frame::kTail) == tail,
               "frame {:#x} differs from its block {:#x}", p.value, block.value);
  }
  if (first.used_as() == FrameUse::free) ++seen[first.order][std::size_t(pageblock_type(block))];
  return pages;
}

std::uint64_t PhysicalMemory::check_lists() const {
  std::uint64_t free = 0;
  for (unsigned n = 0; n <= kMaxOrder; ++n) {
    for (unsigned t = 0; t < kMigrateTypes; ++t) {
      std::uint64_t blocks = 0;
      std::uint32_t before = Frame::kNone;
      for (std::uint32_t at = lists_[n][t].head; at != Frame::kNone; before = at, at = frames_[at].lru_next, ++blocks) {
        const bool in_place = is_free_block(Pfn{at}, n) && std::size_t(pageblock_type(Pfn{at})) == t;
        SIM_ASSERT(in_place && frames_[at].lru_prev == before && blocks < lists_[n][t].blocks,
                   "frame {:#x} is wrong on the list of order {} and type {}", at, n, t);
      }
      SIM_ASSERT(blocks == lists_[n][t].blocks, "{} blocks on the list of order {} and type {}, {} counted", blocks, n,
                 t, lists_[n][t].blocks);
      SIM_ASSERT((blocks > 0) == bool(orders_present_[t] >> n & 1), "bit of order {} and type {} is wrong", n, t);
      free += blocks << n;
    }
  }
  return free;
}

}  // namespace collapsar
