// One cluster of pages on its way: unmapped and flushed, copied, mapped where it is now.
#include <algorithm>

#include "models/kernel/compaction_run.h"
#include "models/kernel/memcg.h"

namespace collapsar {

void Compaction::spend(Run& run, Duration work, Event& then) {
  run.cost += work;
  kernel_.stats.compaction.cpu += work;
  if (!run.request) kernel_.stats.compaction.kcompactd += work;
  if (run.request && run.request->takes_cpu) kernel_.cpus.run_kernel(run.request->cpu, work, then);
  else kernel_.queue.schedule_after(then, work);
}

// The cluster is isolated, or a group of it has moved. What found no frame goes back.
void Compaction::move_next(Run& run) {
  while (run.sources.size() - run.next > run.targets.size()) {
    put_back(run.sources.back());
    run.sources.pop_back();
  }
  if (run.next == run.sources.size()) {
    run.sources.clear();
    return go_on(run);
  }
  run.group_end = kernel_.rules.batches_migration ? run.sources.size() : run.next + 1;
  run.copied_to = run.next;
  spend(run, unmap_cost(run), run.unmapped_);
}

// Entries change when the copies are there; the time is that of unmapping, flushing and mapping again.
Duration Compaction::unmap_cost(Run& run) {
  for (std::size_t i = run.next; i < run.group_end; ++i)
    rmap_.for_each_mapping(run.sources[i], [&](AddressSpace& mm, VirtAddr va, Pte&, PageSize) {
      run.flushes.note(mm.asid(), {va, va + kPageBytes});
    });
  const auto pages = std::int64_t(run.group_end - run.next);
  return kernel_.config.costs.migrate_page * pages + run.flushes.duration(kernel_, cpu_of(run));
}

void Compaction::copy_next(Run& run) {
  const Pfn from = run.sources[run.copied_to];
  const Pfn to = run.targets[run.targets.size() - 1 - (run.copied_to - run.next)];
  run.parts_left = 2;
  spend(run, kernel_.config.costs.copy_page, run.part_done_);
  run.source_of_copy = from;
  run.copy.start({&run.source_of_copy, 1}, to, Duration::zero(), run.copied_);
}

// The longer of the cost table and the DRAM has passed.
void Compaction::part_done(Run& run) {
  if (--run.parts_left > 0) return;
  if (++run.copied_to < run.group_end) return copy_next(run);
  FlushList late;  // mappings made since, by a fork
  for (; run.next < run.group_end; ++run.next) {
    const Pfn target = run.targets.back();
    run.targets.pop_back();
    move(run, run.sources[run.next], target, late);
  }
  run.flushes.flush(kernel_, cpu_of(run));
  late.flush(kernel_, cpu_of(run));
  move_next(run);
}

// migrate_pages() of one page. What cannot move stays where it was.
void Compaction::move(Run& run, Pfn from, Pfn to, FlushList& late) {
  std::uint32_t places = 0;
  bool is_locked = false;
  rmap_.for_each_mapping(from, [&](AddressSpace& mm, VirtAddr va, Pte&, PageSize) {
    ++places;
    is_locked |= mm.pte_table_locked(va);
  });
  const Frame& frame = kernel_.memory.frame(from);
  if (is_locked || places != frame.mapcount || frame.extra_references() > 0 || frame.is(Frame::kWriteback)) {
    ++vm().pgmigrate_fail;
    put_back(from);
    return kernel_.memory.free(to, 0);
  }
  rmap_.for_each_mapping(from, [&](AddressSpace& mm, VirtAddr va, Pte& entry, PageSize) {
    entry = entry.with_frame(to);
    if (!run.flushes.covers(mm.asid(), {va, va + kPageBytes})) late.note(mm.asid(), {va, va + kPageBytes});
  });
  locks_.unlock(from);
  kernel_.memory.move_frame(from, to);
  kernel_.memcgs.moved(from, to);
  const Frame& moved = kernel_.memory.frame(to);
  if (moved.is(Frame::kSwapCache)) swap_cache_.moved(to);
  if (moved.used_as() == FrameUse::file && moved.mapping != 0) kernel_.page_cache->moved(to);
  ++vm().pgmigrate_success;
  ++run.moved;
  reclaim_.putback(to);
  rmap_.free_if_unused(to);
  kernel_.memory.free(from, 0);
}

// Back on its list; or away, if its last user has gone meanwhile.
void Compaction::put_back(Pfn page) {
  locks_.unlock(page);
  reclaim_.putback(page);
  rmap_.free_if_unused(page);
}

}  // namespace collapsar
