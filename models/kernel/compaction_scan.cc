// Which pages move, and where to: the two scanners.
#include <algorithm>

#include "models/kernel/compaction_run.h"

namespace collapsar {

// compact_finished(). Asked again at each pageblock.
bool Compaction::is_finished(const Run& run, Result& result) const {
  if (run.free >> kHugeOrder <= run.migrate >> kHugeOrder) {
    result = Result::complete;
    return true;
  }
  if (run.migrate % kHugePages != 0) return false;
  result = Result::success;
  return run.is_proactive ? fragmentation_score() <= proactive_mark() : has_huge_block();
}

// One cluster: its sources, frames for them, and the time that finding both took; or a stretch without sources.
void Compaction::go_on(Run& run) {
  std::uint64_t looked_at = 0;
  Result result{};
  while (run.sources.empty() && looked_at < kScanStep) {
    if (is_finished(run, result)) {
      if (looked_at == 0) return finish(run, result);
      break;
    }
    looked_at += isolate_sources(run);
  }
  run.looked_at += looked_at;
  vm().compact_migrate_scanned += looked_at;
  if (!run.request) vm().compact_daemon_migrate_scanned += looked_at;
  const std::uint64_t targets_looked_at = run.sources.empty() ? 0 : isolate_targets(run);
  vm().compact_free_scanned += targets_looked_at;
  if (!run.request) vm().compact_daemon_free_scanned += targets_looked_at;
  run.next = 0;
  spend(run, kernel_.config.costs.compact_scan * std::int64_t(looked_at + targets_looked_at), run.scanned_);
}

// --- sources, from the bottom up ---

// isolate_migratepages() of one pageblock, or the rest of it. Returns frames looked at.
std::uint64_t Compaction::isolate_sources(Run& run) {
  const Pfn first{align_down(run.migrate, kHugePages)};
  const Pfn end = first + kHugePages;
  if (run.migrate == first.value && !may_scan_sources(first, run)) {
    run.migrate = end.value;
    note_sources_done(run);
    return 0;
  }
  if (run.migrate == first.value) run.block_gave_pages = false;
  const std::uint64_t looked_at = scan_pageblock(run, end);
  if (run.migrate < end.value || run.block_gave_pages) return looked_at;
  skip_[first.value >> kHugeOrder] = true;
  note_sources_done(run);
  return looked_at;
}

// Up to a cluster. An asynchronous direct compactor gives a pageblock up at the first page that cannot move: no huge page
// would come of it.
std::uint64_t Compaction::scan_pageblock(Run& run, Pfn end) {
  const bool gives_up = run.request && !run.is_sync;
  std::uint64_t looked_at = 0;
  while (run.migrate < end.value && run.sources.size() < kClusterMax) {
    const Pfn at{run.migrate};
    const PhysicalMemory::Block block = kernel_.memory.block_of(at);
    run.migrate = std::min(block.end().value, end.value);
    looked_at += run.migrate - at.value;
    if (block.is_free) continue;
    if (is_movable(at)) {
      take_source(run, at);
    } else if (gives_up) {
      for (const Pfn page : run.sources) put_back(page);
      run.sources.clear();
      run.migrate = end.value;
    }
  }
  vm().compact_isolated += run.sources.size();
  return looked_at;
}

// With its first page a pageblock belongs to this run: others pass over it (test_and_set_skip).
void Compaction::take_source(Run& run, Pfn page) {
  reclaim_.isolate(page);
  locks_.try_lock(page);
  run.sources.push_back(page);
  run.block_gave_pages = true;
  if (!run.is_proactive) skip_[page.value >> kHugeOrder] = true;
}

// isolation_suitable() and suitable_migration_source(), asked at the first frame of a pageblock. Proactive runs look everywhere again.
bool Compaction::may_scan_sources(Pfn first, const Run& run) const {
  if (skip_[first.value >> kHugeOrder] && !run.is_proactive) return false;
  if (kernel_.memory.block_of(first).order >= kHugeOrder) return false;  // free as a whole, or one huge page
  const bool takes_any_type = run.is_sync || !run.request;
  return takes_any_type || kernel_.memory.pageblock_type(first) == MigrateType::movable;
}

bool Compaction::is_movable(Pfn pfn) const {
  const Frame& frame = kernel_.memory.frame(pfn);
  constexpr std::uint16_t kStays = Frame::kHead | Frame::kTail | Frame::kLocked | Frame::kWriteback | Frame::kPoisoned;
  if (!frame.is(Frame::kLru) || frame.flags & kStays || frame.extra_references() > 0) return false;
  return !frame.is(Frame::kUnevictable) || kernel_.config.compaction.unevictable_allowed;
}

// The next run need not look here.
void Compaction::note_sources_done(const Run& run) {
  if (run.is_proactive) return;
  cached_migrate_[0] = std::max(cached_migrate_[0], run.migrate);
  if (run.is_sync) cached_migrate_[1] = std::max(cached_migrate_[1], run.migrate);
}

// --- targets, from the top down ---

// isolate_freepages(): a frame for each source, or as many as there are above the source scanner. Returns frames looked at.
std::uint64_t Compaction::isolate_targets(Run& run) {
  std::uint64_t looked_at = 0;
  const std::uint64_t lowest = align_up(run.migrate, kHugePages);
  while (run.targets.size() < run.sources.size() && run.free >= lowest) {
    const Pfn first{run.free};
    const bool is_begun = run.free_at != run.free;
    const std::size_t before = run.targets.size();
    const bool may_scan = is_begun || may_scan_targets(first, run);
    if (may_scan) looked_at += take_targets(run, first);
    if (run.targets.size() == run.sources.size()) break;  // more may be left here
    if (may_scan && !is_begun && run.targets.size() == before) {
      skip_[first.value >> kHugeOrder] = true;
      if (!run.is_proactive) cached_free_ = std::min(cached_free_, first.value);
    }
    if (first.value == 0) break;
    run.free -= kHugePages;
    run.free_at = run.free;
  }
  return looked_at;
}

std::uint64_t Compaction::take_targets(Run& run, Pfn first) {
  std::uint64_t looked_at = 0;
  const std::uint64_t end = first.value + kHugePages;
  for (; run.free_at < end && run.targets.size() < run.sources.size(); ++looked_at) {
    const Pfn at{run.free_at};
    const PhysicalMemory::Block block = kernel_.memory.block_of(at);
    run.free_at = block.is_free ? at.value + 1 : block.end().value;
    if (!block.is_free) continue;
    kernel_.memory.take_frame(at, FrameUse::kernel);
    run.targets.push_back(at);
    ++vm().compact_isolated;
  }
  return looked_at;
}

// suitable_migration_target(): blocks that are whole already stay so; only movable pageblocks take movable pages.
bool Compaction::may_scan_targets(Pfn first, const Run& run) const {
  if (skip_[first.value >> kHugeOrder] && !run.is_proactive) return false;
  const PhysicalMemory::Block block = kernel_.memory.block_of(first);
  return block.order < kHugeOrder && kernel_.memory.pageblock_type(first) == MigrateType::movable;
}

}  // namespace collapsar
