// PhysicalMemory: where a block comes from: the smallest that fits, never-touched memory, another type's pageblock.
#include <bit>

#include "models/mem/physical_memory.h"
#include "sim/core/error.h"

namespace collapsar {

namespace {

// Whose pageblocks a request may take when its own type has none left, in this order: Linux mm/page_alloc.c,
// `fallbacks`.
constexpr MigrateType kFallbacks[kMigrateTypes][kMigrateTypes - 1] = {
    {MigrateType::reclaimable, MigrateType::movable},    // unmovable
    {MigrateType::reclaimable, MigrateType::unmovable},  // movable
    {MigrateType::unmovable, MigrateType::movable},      // reclaimable
};

bool is_migratable(FrameUse use) { return use == FrameUse::anon || use == FrameUse::file; }

}  // namespace

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
  move_free_blocks(first, from, type);
  retype(first, kHugeOrder, type);
  return true;
}

void PhysicalMemory::move_free_blocks(Pfn first, MigrateType from, MigrateType to) {
  for (Pfn p = first; p < first + kHugePages;) {
    const Frame& f = frame(p);
    const bool is_free = f.used_as() == FrameUse::free;
    const unsigned order = is_free ? unsigned(f.order) : 0;
    if (is_free) remove(p, order, from), push(p, order, to);
    p += pages_of(order);
  }
}

void PhysicalMemory::set_pageblock_type(Pfn first, MigrateType type) {
  SIM_ASSERT(block_of(first).order <= kHugeOrder, "the pageblock at {:#x} changes type as part of a larger block",
             first.value);
  move_free_blocks(first, pageblock_type(first), type);
  retype(first, kHugeOrder, type);
}

// The halves of the block that do not hold the frame go back to their lists, the larger first.
void PhysicalMemory::take_frame(Pfn pfn, FrameUse use) {
  while (next_virgin_ <= pfn.value) open_virgin_block();
  const Block block = block_of(pfn);
  SIM_ASSERT(block.is_free, "frame {:#x} is taken while it is in use", pfn.value);
  remove(block.first, block.order, pageblock_type(block.first));
  Pfn first = block.first;
  for (unsigned n = block.order; n-- > 0;) {
    const Pfn upper = first + pages_of(n);
    const bool is_in_upper = pfn >= upper;
    push(is_in_upper ? first : upper, n, pageblock_type(is_in_upper ? first : upper));
    if (is_in_upper) first = upper;
  }
  --free_pages_;
  ++stats_.allocations;
  prepare(pfn, 0, use);
}

std::optional<Pfn> PhysicalMemory::take_gigantic() {
  const std::uint64_t first = align_up(next_virgin_, pages_of(kGiganticOrder));
  if (first + pages_of(kGiganticOrder) > total_pages_) return std::nullopt;
  while (next_virgin_ < first) open_virgin_block();
  next_virgin_ += pages_of(kGiganticOrder);
  return Pfn{first};
}

}  // namespace collapsar
