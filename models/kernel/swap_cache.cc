#include "models/kernel/swap_cache.h"

namespace collapsar {

struct SwapCache::Io {
  explicit Io(SwapCache& owner) : cache(owner) { request.done = &done_; }
  void done() { cache.io_done(*this); }
  SwapCache& cache;
  SwapRequest request;
  Pfn pfn{};
  Write* written = nullptr;
  Event done_ = event<&Io::done>(this, "swap_cache.io", Phase::completion);
};

SwapCache::SwapCache(KernelContext& kernel, Rmap& rmap, PageLocks& locks)
    : kernel_(kernel), rmap_(rmap), locks_(locks) {}
SwapCache::~SwapCache() = default;

std::optional<Pfn> SwapCache::find(SwapSlot slot) const {
  const auto it = index_.find(slot);
  if (it == index_.end()) return std::nullopt;
  return it->second;
}

// --- in and out of the index ---

std::uint32_t SwapCache::pages_of(Pfn pfn) const {
  return kernel_.memory.frame(pfn).is(Frame::kHead) ? std::uint32_t(kHugePages) : 1;
}

void SwapCache::insert(SwapSlot slot, Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  SIM_ASSERT(!frame.is(Frame::kSwapCache), "frame {:#x} put in the swap cache twice", pfn.value);
  frame.set(Frame::kSwapCache);
  kernel_.memory.set_swap_slot(pfn, slot);
  for (std::uint32_t i = 0; i < pages_of(pfn); ++i) {
    const bool fresh = index_.insert({slot + i, pfn + i}).second;
    SIM_ASSERT(fresh, "swap slot {} has two pages", slot + i);
  }
}

void SwapCache::add(SwapSlot slot, Pfn pfn) { insert(slot, pfn); }

void SwapCache::remove(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  SIM_ASSERT(frame.is(Frame::kSwapCache) && !frame.is(Frame::kWriteback),
             "frame {:#x} leaves the swap cache with flags {:#x}", pfn.value, frame.flags);
  const SwapSlot slot = kernel_.memory.swap_slot(pfn);
  for (std::uint32_t i = 0; i < pages_of(pfn); ++i) {
    index_.erase(slot + i);
    kernel_.swap.release(slot + i);
  }
  frame.clear(Frame::kSwapCache);
  frame.set(Frame::kDirty);
  kernel_.memory.drop_swap_slot(pfn);
}

bool SwapCache::is_last_user(Pfn pfn) const {
  const SwapSlot slot = kernel_.memory.swap_slot(pfn);
  for (std::uint32_t i = 0; i < pages_of(pfn); ++i)
    if (kernel_.swap.users(slot + i) > 1) return false;
  return true;
}

bool SwapCache::remove_if_unused(Pfn pfn) {
  const Pfn head = kernel_.memory.head_of(pfn);
  const Frame& frame = kernel_.memory.frame(head);
  if (!frame.is(Frame::kSwapCache) || frame.is(Frame::kWriteback) || frame.is(Frame::kLocked)) return false;
  if (!is_last_user(head)) return false;
  remove(head);
  return true;
}

bool SwapCache::take_past_cache(SwapSlot slot) {
  if (std::erase(past_cache_, slot) == 0) return false;
  const Pfn pfn = *find(slot);
  remove(pfn);
  kernel_.memory.frame(pfn).clear(Frame::kDirty);
  return true;
}

// --- input and output ---

void SwapCache::start_read(SwapSlot slot, Pfn pfn) {
  const bool locked = locks_.try_lock(pfn);
  SIM_ASSERT(locked, "frame {:#x} is read into while it is locked", pfn.value);
  kernel_.swap.duplicate(slot);
  insert(slot, pfn);
  if (!zeros_.contains(slot)) kernel_.memory.frame(pfn).set(Frame::kData);
  kernel_.stats.vmstat.pswpin += !never_written_.contains(slot);
  submit(pfn, false, nullptr);
}

void SwapCache::start_write(Pfn pfn, Write* written) {
  Frame& frame = kernel_.memory.frame(pfn);
  SIM_ASSERT(frame.is(Frame::kSwapCache) && !frame.is(Frame::kWriteback) && !frame.is(Frame::kLocked),
             "frame {:#x} written to swap with flags {:#x}", pfn.value, frame.flags);
  frame.clear(Frame::kDirty);
  frame.set(Frame::kWriteback);
  if (!note_contents(pfn)) {
    kernel_.stats.vmstat.pswpout += pages_of(pfn);
    kernel_.stats.vmstat.thp_swpout += pages_of(pfn) > 1;
  }
  ++writes_in_flight_;
  submit(pfn, true, written);
}

// swap_zeromap: a page that holds only zeros is not written. True: so it is with this one, as a whole.
bool SwapCache::note_contents(Pfn pfn) {
  if (!kernel_.follows_contents || !kernel_.rules.zero_pages_stay_home) return false;
  const SwapSlot slot = kernel_.memory.swap_slot(pfn);
  bool all = true;
  for (std::uint32_t i = 0; i < pages_of(pfn); ++i) {
    const bool is_zero = kernel_.is_zero_filled(pfn + i);
    all &= is_zero;
    is_zero ? void(zeros_.insert(slot + i)) : void(zeros_.erase(slot + i));
  }
  for (std::uint32_t i = 0; i < pages_of(pfn); ++i)
    all ? void(never_written_.insert(slot + i)) : void(never_written_.erase(slot + i));
  return all;
}

void SwapCache::submit(Pfn pfn, bool is_write, Write* written) {
  if (free_ios_.empty()) free_ios_.push_back(ios_.emplace_back(std::make_unique<Io>(*this)).get());
  Io& io = *free_ios_.back();
  free_ios_.pop_back();
  io.pfn = pfn;
  io.written = written;
  io.request.slot = kernel_.memory.swap_slot(pfn);
  io.request.pages = pages_of(pfn);
  io.request.is_write = is_write;
  kernel_.swap.submit(io.request);
}

void SwapCache::io_done(Io& io) {
  const Pfn pfn = io.pfn;
  Write* const written = io.written;
  const bool is_write = io.request.is_write;
  free_ios_.push_back(&io);
  if (!is_write) return read_done(pfn);
  --writes_in_flight_;
  const bool freed = write_done(pfn);
  if (!written) return;
  written->freed = freed;
  if (written->done) kernel_.queue.schedule(*written->done, kernel_.queue.now());
}

void SwapCache::read_done(Pfn pfn) {
  locks_.unlock(pfn);
  if (is_mapped(pfn) || !is_last_user(pfn)) return;
  std::erase(past_cache_, kernel_.memory.swap_slot(pfn));
  remove(pfn);
  rmap_.free_if_unused(pfn);
}

bool SwapCache::write_done(Pfn pfn) {
  // A folio split meanwhile is not possible: split_folio refuses pages under write-back.
  Frame& frame = kernel_.memory.frame(pfn);
  frame.clear(Frame::kWriteback);
  if (is_mapped(pfn)) return false;
  remove(pfn);
  rmap_.free_if_unused(pfn);
  return true;
}

bool SwapCache::is_mapped(Pfn pfn) const {
  PhysicalMemory& memory = kernel_.memory;
  const Frame& frame = memory.frame(pfn);
  if (frame.pins > 0 || (frame.used_as() == FrameUse::file && frame.mapping != 0)) return true;
  for (std::uint32_t i = 0; i < pages_of(pfn); ++i)
    if (memory.total_mapcount(pfn + i) > 0) return true;
  return false;
}

// swap_vma_readahead: other entries of the aligned cluster around `va` that are on the device only. It stays inside the
// VMA and, being aligned and at most 512 pages, inside the page table.
std::vector<SwapSlot> SwapCache::readahead(AddressSpace& mm, const Vma& vma, VirtAddr va) const {
  std::vector<SwapSlot> slots;
  const std::uint64_t window = std::min<std::uint64_t>(kernel_.swap.readahead_pages(), kHugePages) * kPageBytes;
  const VirtAddr base = align_down(va, window);
  const VirtRange cluster = VirtRange{base, base + window}.intersect(vma.range);
  if (!mm.table().pmd_is_table(va)) return slots;
  for (VirtAddr at = cluster.start; at < cluster.end; at += kPageBytes) {
    const Pte* pte = mm.table().pte(at);
    if (at != align_down(va, kPageBytes) && pte->swap() && !find(pte->swap_slot())) slots.push_back(pte->swap_slot());
  }
  return slots;
}

}  // namespace collapsar
