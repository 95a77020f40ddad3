#include "models/mem/physical_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "sim/core/error.h"

namespace collapsar {

namespace {

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

}  // namespace

void MemoryConfig::validate() const {
  constexpr std::uint64_t kStep = PhysicalMemory::kMaxBlockPages * kPageBytes;
  constexpr std::uint64_t kLimit =
      (std::uint64_t{Frame::kNone} << kPageShift) / kStep * kStep;  // links are 32 bits wide
  if (size.value == 0 || size.value % kStep != 0 || size.value > kLimit)
    throw std::invalid_argument(
        fmt::format("size: found {}, expected a multiple of 4MiB up to {}", to_text(size), to_text(Bytes{kLimit})));
}

void FragmentationConfig::validate() const {
  const auto require_share = [](const char* key, double share) {
    if (!(share >= 0 && share <= 1))
      throw std::invalid_argument(fmt::format("{}: {}; a share of all 2 MiB blocks, 0 to 1", key, share));
  };
  require_share("unmovable", unmovable), require_share("movable", movable), require_share("hybrid", hybrid);
  constexpr double kRounding = 1e-9;
  if (unmovable + movable + hybrid > 1 + kRounding)
    throw std::invalid_argument(
        fmt::format("unmovable, movable and hybrid add up to {}; no block is of two kinds, so at most 1",
                    unmovable + movable + hybrid));
  if (!(fill > 0 && fill < 1) || cache_pages() < 1 || cache_pages() > kHugePages - 2)
    throw std::invalid_argument(fmt::format(
        "fill: {}; a share of a block that comes to 1..510 pages of its 512: one may be the kernel's, one is free",
        fill));
}

std::uint64_t FragmentationConfig::cache_pages() const {
  return std::uint64_t(std::llround(fill * double(kHugePages)));
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

void PhysicalMemory::move_frame(Pfn from, Pfn to) {
  Frame& source = frame(from);
  Frame& target = frame(to);
  constexpr std::uint16_t kNeverMoves = Frame::kHead | Frame::kTail | Frame::kLru;
  SIM_ASSERT(!((source.flags | target.flags) & kNeverMoves) && source.extra_references() == 0 && target.mapcount == 0,
             "frame {:#x} with flags {:#x} and {} pins moves to {:#x} with flags {:#x}", from.value, source.flags,
             source.extra_references(), to.value, target.flags);
  target = source;
  target.lru_prev = target.lru_next = Frame::kNone;
  if (source.is(Frame::kSwapCache)) {
    set_swap_slot(to, swap_slot(from));
    drop_swap_slot(from);
  }
  source = Frame{};
  source.use = std::uint64_t(FrameUse::kernel);
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

std::uint64_t PhysicalMemory::free_pages_in_blocks(unsigned order) const {
  std::uint64_t pages = total_pages_ - next_virgin_;
  for (unsigned n = order; n <= kMaxOrder; ++n)
    for (const List& l : lists_[n]) pages += l.blocks << n;
  return pages;
}

// From the largest order down: where no larger block covers the frame, a block starts at each aligned place, so its
// first frame can be believed.
PhysicalMemory::Block PhysicalMemory::block_of(Pfn pfn) const {
  if (pfn.value >= next_virgin_) return {Pfn{align_down(pfn.value, kMaxBlockPages)}, kMaxOrder, true};
  for (unsigned n = kMaxOrder;; --n) {
    const Pfn first{align_down(pfn.value, pages_of(n))};
    const Frame& f = frame(first);
    if (f.order >= n) return {first, unsigned(f.order), f.used_as() == FrameUse::free};
  }
}

std::uint64_t PhysicalMemory::host_bytes() const {
  return sizeof(*this) + next_virgin_ * sizeof(Frame) + block_type_.capacity() * sizeof(MigrateType);
}

}  // namespace collapsar
