#include "models/kernel/huge_alloc.h"

namespace collapsar {

void HugeAlloc::start(const Request& request) {
  request_ = request;
  page_ = kNoPfn;
  cost_ = Duration::zero();
  compact(Compaction::Priority::async, first_compacted_);
}

void HugeAlloc::compact(Compaction::Priority priority, Event& then) {
  compaction_request_ = {.done = &then, .priority = priority, .cpu = request_.cpu, .takes_cpu = request_.takes_cpu};
  compaction_.direct(compaction_request_);
}

bool HugeAlloc::take_free(FrameUse use, bool may_search) {
  cost_ = Duration::zero();
  return try_take(use, AllocLevel::low) || (may_search && try_take(use, AllocLevel::min));
}

bool HugeAlloc::try_take(FrameUse use, AllocLevel level) {
  const auto page = kernel_.memory.allocate(kHugeOrder, MigrateType::movable, use, level);
  page_ = page.value_or(kNoPfn);
  return page.has_value();
}

// An attempt counts by whether there is a page afterwards, not by what it says of itself.
bool HugeAlloc::take_after(const Compaction::Request& request) {
  cost_ += request.cost;
  const bool taken = try_take(request_.use, AllocLevel::min);
  if (taken) compaction_.allocated();
  if (request.result != Compaction::Result::skipped)
    ++(taken ? kernel_.stats.vmstat.compact_success : kernel_.stats.vmstat.compact_fail);
  return taken;
}

void HugeAlloc::first_compacted() {
  const Compaction::Result result = compaction_request_.result;
  if (take_after(compaction_request_)) return finish();
  const bool is_pointless = result == Compaction::Result::skipped || result == Compaction::Result::deferred;
  if (request_.no_retry && is_pointless) return finish();
  if (compaction_.is_ready()) return compact_again();
  if (request_.sleeper) kernel_.cpus.task_sleeps(*request_.sleeper);
  direct_reclaim_ = {.done = &reclaimed_, .pages_wanted = kHugePages, .cpu = request_.cpu};
  reclaim_.direct_reclaim(direct_reclaim_);
}

void HugeAlloc::reclaimed() {
  if (request_.sleeper) kernel_.cpus.task_wakes(*request_.sleeper);
  if (try_take(request_.use, AllocLevel::min)) return finish();
  compact_again();
}

void HugeAlloc::compact_again() {
  compact(request_.no_retry ? Compaction::Priority::async : Compaction::Priority::sync_light, compacted_again_);
}

void HugeAlloc::compacted_again() {
  take_after(compaction_request_);
  finish();
}

void HugeAlloc::finish() {
  if (cost_ > Duration::zero() && !request_.is_daemon) kernel_.stats.stall.compaction_ns.add(cost_);
  kernel_.queue.schedule(*request_.done, kernel_.queue.now());
}

}  // namespace collapsar
