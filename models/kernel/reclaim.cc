#include "models/kernel/reclaim.h"

#include "models/kernel/huge_zero_page.h"
#include "models/kernel/reclaim_worker.h"
#include "models/kernel/split.h"

namespace collapsar {

Reclaim::Reclaim(KernelContext& kernel, Rmap& rmap, SwapCache& swap_cache, PageLocks& locks)
    : kernel_(kernel),
      rmap_(rmap),
      swap_cache_(swap_cache),
      locks_(locks),
      lru_(kernel.memory),
      batches_(kernel, rmap, lru_) {
  workers_.push_back(std::make_unique<Worker>(*this));
}
Reclaim::~Reclaim() = default;

// --- LRU ---

void Reclaim::add(Pfn pfn, bool active) {
  const Frame& frame = kernel_.memory.frame(pfn);
  if (!frame.is(Frame::kLru) && !frame.in_batch) lru_.add_head(pfn, active);
}

void Reclaim::remove(Pfn pfn) {
  if (kernel_.memory.frame(pfn).is(Frame::kLru)) lru_.remove(pfn);
}

bool Reclaim::isolate(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  if (!frame.is(Frame::kLru)) return false;
  lru_.remove(pfn);  // kActive stays: putback() reads it
  frame.set(Frame::kIsolated);
  return true;
}

void Reclaim::putback(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  frame.clear(Frame::kIsolated);
  if (!frame.is(Frame::kLru) && !frame.in_batch) batches_.enter(pfn);
}

void Reclaim::activate(Pfn pfn) {
  if (!kernel_.memory.frame(pfn).is(Frame::kLru)) return;
  lru_.move_to_head(pfn, true);
  kernel_.stats.vmstat.pgactivate += lru_.pages_of(pfn);
}

void Reclaim::mark_accessed(Pfn pfn, CpuId cpu) {
  Frame& frame = kernel_.memory.frame(pfn);
  const bool is_unevictable = frame.is(Frame::kUnevictable) && !frame.in_batch;
  if (kernel_.rules.multi_gen_lru && is_unevictable) return;
  if (!frame.is(Frame::kReferenced) || kernel_.rules.multi_gen_lru) return frame.set(Frame::kReferenced);
  if (is_unevictable || frame.is(Frame::kActive)) return;
  if (frame.is(Frame::kLru)) activate(pfn);
  else batches_.activate(pfn, cpu);
  frame.clear(Frame::kReferenced);
}

void Reclaim::rotate(Pfn pfn) {
  const Frame& frame = kernel_.memory.frame(pfn);
  if (frame.is(Frame::kLru)) lru_.move_to_tail(pfn, frame.is(Frame::kActive));
}

void Reclaim::deactivate(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  if (!frame.is(Frame::kLru)) return;
  lru_.move_to_tail(pfn, false);
  frame.clear(Frame::kReferenced);
  kernel_.stats.vmstat.pgdeactivate += lru_.pages_of(pfn);
}

// --- which pages ---

// Without room on the swap device an anonymous page can go only if it has its copy there already or is MADV_FREE.
bool Reclaim::anon_may_go() const {
  const VmStat& vm = kernel_.stats.vmstat;
  return kernel_.swap.free_slots() > 0 || swap_cache_.pages() > 0 || vm.pglazyfree > vm.pglazyfreed;
}

Lru::Kind Reclaim::pick_kind() const {
  const std::uint64_t anon = lru_.pages(Lru::Kind::anon), file = lru_.pages(Lru::Kind::file);
  if (anon == 0 || !anon_may_go()) return Lru::Kind::file;
  return file > anon ? Lru::Kind::file : Lru::Kind::anon;
}

// mm/vmscan.c inactive_is_low(): the bigger memory, the smaller the share that must be inactive.
bool Reclaim::inactive_is_low(Lru::Kind kind) const {
  const std::uint64_t gib = lru_.pages(kind) >> (30 - kPageShift);
  std::uint64_t ratio = 1;
  while (gib && (ratio + 1) * (ratio + 1) <= 10 * gib) ++ratio;  // int_sqrt(10 * GiB)
  return lru_.pages(kind, false) * ratio < lru_.pages(kind, true);
}

// shrink_active_list(): the oldest active pages get a second life on the inactive list, as not accessed.
void Reclaim::age_active(Lru::Kind kind, Batch& batch) {
  std::vector<MappedAt> mappings;
  for (std::uint64_t moved = 0; moved < kSwapClusterMax;) {
    const Pfn pfn = lru_.tail(kind, true);
    if (pfn == kNoPfn) return;
    if (collect(pfn, mappings))
      for (MappedAt& at : mappings) at.entry->clear(Pte::kAccessed);
    lru_.move_to_head(pfn, false);
    moved += lru_.pages_of(pfn);
    kernel_.stats.vmstat.pgdeactivate += lru_.pages_of(pfn);
    batch.extra += kernel_.config.costs.reclaim_page;
  }
}

// One batch of SWAP_CLUSTER_MAX pages from the tail of an inactive list. New pages of its own CPU count too (shrink_*_list
// drain); kswapd has none.
void Reclaim::shrink(Batch& batch) {
  if (batch.cpu != kNoCpu) batches_.drain(batch.cpu);
  const Lru::Kind kind = pick_kind();
  if (inactive_is_low(kind)) age_active(kind, batch);
  const std::uint64_t present = lru_.pages(kind, false);
  while (batch.scanned < std::min(kSwapClusterMax, present)) {
    const Pfn pfn = lru_.tail(kind, false);
    if (pfn == kNoPfn) break;
    batch.scanned += lru_.pages_of(pfn);
    ++batch.looked_at;
    settle(pfn, evict(pfn, batch, false));
  }
  if (split_ && split_->deferred() > 0) batch.freed += split_->shrink_deferred(kSwapClusterMax, &batch.extra);
  if (is_hard_pressed(batch)) batch.freed += kernel_.huge_zero->shrink();
  flush(batch);
}

// do_shrink_slab() asks a shrinker that has 512 to give for a batch of 128 only from priority 3 on. Down to there
// 1/4096 + 1/2048 + ... + 1/8 of the lists, a quarter, has been looked at for nothing.
bool Reclaim::is_hard_pressed(const Batch& batch) const {
  return batch.freed == 0 && (batch.worker.since_progress + batch.scanned) * 4 >= lru_.pages();
}

void Reclaim::settle(Pfn pfn, Verdict verdict) {
  switch (verdict) {
    case Verdict::gone: return;  // its frame may be someone else's by now
    case Verdict::keep: return lru_.move_to_head(pfn, false);
    case Verdict::activate: return activate(pfn);
  }
}

std::uint64_t Reclaim::drop_files_now(std::uint64_t pages) {
  std::uint64_t dropped = 0;
  while (dropped < pages) {
    const Pfn pfn = lru_.tail(Lru::Kind::file, false);
    if (pfn == kNoPfn) break;
    const Frame& frame = kernel_.memory.frame(pfn);
    if (frame.is(Frame::kHead) || frame.is(Frame::kDirty) || frame.mapcount > 0 || frame.pins > 0) break;
    kernel_.page_cache->remove(pfn);
    rmap_.free_if_unused(pfn);
    ++dropped;
  }
  return dropped;
}

void Reclaim::out_of_memory(std::uint32_t pid, std::uint64_t pages) const {
  const auto mib = [](std::uint64_t n) {
    return fmt::format("{:.1f} MiB", double(n) * double(kPageBytes) / double(kMiB));
  };
  const std::string swap = kernel_.swap.present() ? fmt::format("{} of {} swap free", mib(kernel_.swap.free_slots()),
                                                                mib(kernel_.swap.slots()))
                                                  : "no swap device";
  throw SimulationError(fmt::format(
      "out of simulated memory: process {} needs {} more and nothing can be reclaimed ({} memory, {} free, {} kept as "
      "reserve; {} anonymous, {} file, the rest page tables and kernel; {}). A larger memory.size{} would help; where "
      "huge pages hold memory that nobody uses, so would kernel.thp.enabled: madvise or a lower "
      "kernel.khugepaged.max_ptes_none",
      pid, to_text(Bytes{pages * kPageBytes}), mib(kernel_.memory.total_pages()), mib(kernel_.memory.free_pages()),
      mib(kernel_.memory.watermarks().min), mib(lru_.pages(Lru::Kind::anon)), mib(lru_.pages(Lru::Kind::file)), swap,
      kernel_.swap.present() ? " or swap.size" : " or a swap.device"));
}

}  // namespace collapsar
