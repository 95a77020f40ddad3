// When compaction runs, and whether it is worth it.
#include "models/kernel/compaction.h"

#include <algorithm>

#include "models/kernel/compaction_run.h"

namespace collapsar {

Compaction::Compaction(KernelContext& kernel, Rmap& rmap, Reclaim& reclaim, SwapCache& swap_cache, PageLocks& locks)
    : kernel_(kernel),
      rmap_(rmap),
      reclaim_(reclaim),
      swap_cache_(swap_cache),
      locks_(locks),
      skip_(kernel.memory.total_pages() >> kHugeOrder) {
  runs_.push_back(std::make_unique<Run>(*this));
  reset_positions();
}
Compaction::~Compaction() = default;

void Compaction::start() {
  if (kernel_.config.compaction.enabled && kernel_.config.compaction.proactiveness > 0)
    kernel_.queue.schedule_after(proactive_, kProactivePeriod);
}

// --- for whoever draws ---

namespace {
std::string_view name_of(Compaction::Result result) {
  switch (result) {
    case Compaction::Result::skipped: return "skipped";
    case Compaction::Result::deferred: return "deferred";
    case Compaction::Result::complete: return "complete";
    case Compaction::Result::success: return "success";
  }
  return "";
}
}  // namespace

void Compaction::draw(const Run& run, std::string_view result) const {
  if (!kernel_.spans) return;
  const auto is_it = [&](const auto& r) { return r.get() == &run; };
  const auto number = std::uint32_t(std::ranges::find_if(runs_, is_it) - runs_.begin());
  const SpanTrack track = number == 0 ? SpanTrack{"kcompactd"} : SpanTrack{"direct compaction", number - 1};
  kernel_.spans->add({track,
                      run.is_proactive ? "proactive"
                      : run.is_sync    ? "light synchronous"
                                       : "asynchronous",
                      run.began,
                      kernel_.queue.now(),
                      {SpanNote::count("scanned", run.looked_at), SpanNote::count("moved", run.moved),
                       SpanNote::word("result", result)}});
}

bool Compaction::at_rest() const {
  return std::ranges::none_of(runs_, [](const auto& run) { return run->busy; });
}

void Compaction::cut_spans() {
  for (const auto& run : runs_)
    if (run->busy) draw(*run, "not finished");
}

// --- is it worth it? ---

// compaction_suitable(): the watermark of costly orders is `low`.
bool Compaction::has_enough_free() const {
  return kernel_.config.compaction.enabled && kernel_.memory.free_pages() >= kernel_.memory.watermarks().low + kGap;
}

// mm/vmstat.c __fragmentation_index(): towards 0 memory is short, towards 1000 it is in pieces; -1000: a block is free.
std::int64_t Compaction::fragmentation_index() const {
  if (has_huge_block()) return -1000;
  const std::uint64_t blocks = kernel_.memory.free_blocks(0);
  if (blocks == 0) return 0;
  return 1000 - std::int64_t((1000 + kernel_.memory.free_pages() * 1000 / kHugePages) / blocks);
}

bool Compaction::is_ready() const {
  return suitable() != Result::skipped && kernel_.memory.free_pages() >= kernel_.memory.watermarks().high + kGap;
}

Compaction::Result Compaction::suitable() const {
  if (!has_enough_free()) return Result::skipped;
  const std::int64_t index = fragmentation_index();
  const bool is_short = index >= 0 && index <= std::int64_t(kernel_.config.compaction.extfrag_threshold);
  return is_short ? Result::skipped : Result::success;
}

// extfrag_for_order(): the share of free memory, in percent, that no huge page can be made of.
std::uint64_t Compaction::fragmentation_score() const {
  const std::uint64_t free = kernel_.memory.free_pages();
  return free == 0 ? 0 : (free - kernel_.memory.free_pages_in_blocks(kHugeOrder)) * 100 / free;
}

// fragmentation_score_wmark(): proactive compaction ends here, and begins kProactiveSpan above.
std::uint64_t Compaction::proactive_mark() const {
  const std::uint64_t proactiveness = kernel_.config.compaction.proactiveness;
  return proactiveness > 95 ? 5 : 100 - proactiveness;
}

// --- after failures: 1, 2, 4 ... 64 attempts are left out ---

bool Compaction::is_deferred() {
  if (!is_failing_) return false;
  const unsigned limit = 1U << defer_shift_;
  considered_ = std::min(considered_ + 1, limit);
  return considered_ < limit;
}

void Compaction::defer() {
  is_failing_ = true;
  considered_ = 0;
  defer_shift_ = std::min(defer_shift_ + 1, kMaxDeferShift);
}

// compaction_restarting(); or the scanners have met and kswapd has gone to sleep since (compact_blockskip_flush).
void Compaction::restart_if_due() {
  const bool waited_longest = defer_shift_ == kMaxDeferShift && considered_ >= 1U << defer_shift_;
  const bool kswapd_slept = scanners_met_ && reclaim_.kswapd_sleeps() > sleeps_when_met_;
  if (!waited_longest && !kswapd_slept) return;
  std::fill(skip_.begin(), skip_.end(), false);
  scanners_met_ = false;
  reset_positions();
}

void Compaction::reset_positions() {
  cached_migrate_[0] = cached_migrate_[1] = 0;
  cached_free_ = kernel_.memory.total_pages() - kHugePages;
}

// --- direct compaction ---

void Compaction::direct(Request& request) {
  request.cost = Duration::zero();
  if (!kernel_.config.compaction.enabled) request.result = Result::skipped;
  else request.result = is_deferred() ? Result::deferred : suitable();
  if (request.result != Result::skipped) ++vm().compact_stall;
  if (request.result != Result::success) return kernel_.queue.schedule(*request.done, kernel_.queue.now());
  Run& run = new_run();
  run.request = &request;
  run.is_sync = request.priority != Priority::async;
  run.is_proactive = false;
  begin(run);
}

CpuId Compaction::cpu_of(const Run& run) { return run.request ? run.request->cpu : kNoCpu; }

Compaction::Run& Compaction::new_run() {
  for (std::size_t i = 1; i < runs_.size(); ++i)
    if (!runs_[i]->busy) return *runs_[i];
  return *runs_.emplace_back(std::make_unique<Run>(*this));
}

// --- kcompactd ---

void Compaction::wake_kcompactd() {
  if (!kernel_.config.compaction.enabled || has_huge_block()) return;
  Run& run = *runs_.front();
  if (run.busy) {
    wants_kcompactd_ = true;
    return;
  }
  ++vm().compact_daemon_wake;
  if (is_deferred() || suitable() != Result::success) return;
  run.is_sync = true;
  run.is_proactive = false;
  begin(run);
}

// should_proactive_compact_node(). Memory that could not be made whole is left alone for 64 periods.
void Compaction::proactive_tick() {
  kernel_.queue.schedule_after(proactive_, kProactivePeriod);
  if (proactive_pause_ > 0) --proactive_pause_;
  Run& run = *runs_.front();
  if (proactive_pause_ > 0 || run.busy || reclaim_.kswapd_runs()) return;
  const std::uint64_t score = fragmentation_score();
  if (score <= std::min<std::uint64_t>(proactive_mark() + kProactiveSpan, 100)) return;
  run.is_sync = run.is_proactive = true;
  run.score_before = score;
  begin(run);
}

// --- begin and end of a run ---

void Compaction::begin(Run& run) {
  run.busy = true;
  run.began = kernel_.queue.now();
  run.moved = run.looked_at = 0;
  run.cost = Duration::zero();
  run.sources.clear();
  run.targets.clear();
  run.block_gave_pages = false;
  reclaim_.batches().drain(cpu_of(run));
  restart_if_due();
  run.migrate = run.is_proactive ? 0 : cached_migrate_[run.is_sync];
  run.free = run.free_at = run.is_proactive ? kernel_.memory.total_pages() - kHugePages : cached_free_;
  go_on(run);
}

void Compaction::finish(Run& run, Result result) {
  for (const Pfn target : run.targets) kernel_.memory.free(target, 0);
  run.targets.clear();
  run.busy = false;
  draw(run, name_of(result));
  if (result == Result::complete) {
    reset_positions();
    scanners_met_ |= run.request != nullptr;
    sleeps_when_met_ = reclaim_.kswapd_sleeps();
  }
  if (run.is_proactive && fragmentation_score() >= run.score_before) proactive_pause_ = 1U << kMaxDeferShift;
  if (!run.is_proactive && result == Result::success) is_failing_ = false;
  if (!run.is_proactive && result == Result::complete && run.is_sync) defer();
  if (!run.request) {
    if (std::exchange(wants_kcompactd_, false)) wake_kcompactd();
    return;
  }
  Request& request = *std::exchange(run.request, nullptr);
  request.result = result;
  request.cost = run.cost;
  kernel_.queue.schedule(*request.done, kernel_.queue.now());
}

}  // namespace collapsar
