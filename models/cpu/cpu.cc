#include "models/cpu/cpu.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/cpu/cpu_slot.h"

namespace collapsar {

namespace {

// With time.scale, pace model: how long a thread runs from one portion of idle time to the next. Long against a miss
// (100 ns), so that the wait for the last misses before it changes cycles by 1 % at most; short against a daemon's
// sleep.
constexpr Duration kRunBetweenPortions = std::chrono::microseconds(10);

}  // namespace

Cpu::Cpu(EventQueue& queue, const CpuConfig& config, const TimeConfig& time, CpuId id, Mmu& mmu, CacheHierarchy* caches,
         Clock clock, CpuClient& client)
    : queue_(queue),
      config_(config),
      time_(time),
      id_(id),
      mmu_(mmu),
      caches_(caches),
      clock_(clock),
      client_(client),
      active_(config.outstanding),
      waiting_stores_(has_store_buffer() ? config.store_buffer : 0),
      ends_(std::size_t{config.outstanding} + config.store_buffer) {
  cpi_ = std::llround(config.cycles_per_instruction * Clock::kSubcycles);
  window_ = config.outstanding > 1 ? config.window : 0;
  if (time.pace != Pace::model) {
    style_ = Style::paced;
  } else if (time.scale > 1 && cpi_ > 0) {
    style_ = Style::portions;
    portion_ = std::uint64_t(clock_.first_not_before(kTimeZero + kRunBetweenPortions) / cpi_) + 1;
  }
  for (std::uint32_t i = 0; i < config.outstanding; ++i) slots_.push_back(std::make_unique<Slot>(this));
  for (const auto& slot : slots_) free_slots_.push_back(slot.get());
  build_store_buffer();
  if (config.dependence == Dependence::trace) dependence_mask_ = Record::kDependsOnLoad;
  if (config.dependence == Dependence::all) dependence_always_ = 1;
  static_assert(std::tuple_size_v<decltype(CpuStats::refs_by)> == Mmu::kWays);
  for (unsigned kind = 0; kind < Mmu::kWays; ++kind)
    mmu.set_way(kind, RefKind(kind) == RefKind::fetch, is_write(RefKind(kind)));
  if (caches) l1_latency_ = std::int64_t{caches->l1d_latency()} * Clock::kSubcycles, has_l1i_ = caches->has_level(0);
}

Cpu::~Cpu() {
  for (const auto* slots : {&slots_, &stores_})
    for (const auto& slot : *slots) {
      queue_.cancel(slot->walked_);
      queue_.cancel(slot->memory_due_), queue_.cancel(slot->line_arrived_);
    }
  queue_.cancel(step_);
}

// --- threads come and go ---

void Cpu::begin(Work& work, AddressSpaceRoot space) {
  SIM_ASSERT(!work_ && is_quiet(), "CPU {} is given a second thread", id_);
  work_ = &work;
  mmu_.set_space(space);
  last_load_at_ = 0;
  stop_requested_ = is_draining_ = false, stolen_ = {};
  resume();
  on_since_ = at_;
}

void Cpu::end() {
  SIM_ASSERT(work_ && is_quiet(), "CPU {} loses a thread with {} misses under way", id_,
             active_.size() + waiting_stores_.size());
  at_ = std::max(here(), now_subcycles());
  stats_.busy_subcycles += at_ - on_since_ - idle_;
  idle_ = 0, work_ = nullptr;
  queue_.cancel(step_);
}

void Cpu::resume() {
  at_ = due_ = std::max(here(), now_subcycles());
  plan_pace();
  queue_.reschedule(step_, clock_.time_of(at_));
}

void Cpu::request_stop() {
  stop_requested_ = true;
  if (waits_from_ == kUnknown || !step_.pending()) return;
  due_ = now_subcycles();  // the wait for the pace ends here
  queue_.reschedule(step_, queue_.now());
}

CpuStats Cpu::stats() const {
  CpuStats stats = stats_;
  for (unsigned kind = 0; kind < stats.refs_by.size(); ++kind) stats.refs_by[kind] += mmu_.way(kind).hits();
  if (!work_) return stats;
  const std::int64_t now = std::max(here(), now_subcycles());
  stats.busy_subcycles += now - on_since_ - idle_ - idle_in_wait(now);
  return stats;
}

// --- the loop ---

void Cpu::step() {
  if (is_blocked_) is_blocked_ = false, end_of_wait(blocked_since_, due_);
  if (waits_from_ != kUnknown && stop_requested_) idle_ += idle_in_wait(due_), floor_ = std::max(floor_, due_);
  waits_from_ = kUnknown, l1_look_ = L1Look::none;
  run();
}

void Cpu::run() {
  while (true) {
    if (stolen_ > Duration{}) return give_stolen_time();
    if (!work_->replay.empty()) {
      if (!settle_replay()) return;
      continue;
    }
    if (work_->resuming && !is_draining_) {
      if (!issue_reference()) return;
      continue;
    }
    const Stop why = is_draining_ ? Stop::used_up : run_references();
    is_draining_ |= stop_requested_ && (why == Stop::not_due || why == Stop::used_up);
    if (is_draining_) {
      if (settle_drain()) client_.drained(*this);
      return;
    }
    switch (why) {
      case Stop::not_due: return wait_for_next();
      case Stop::stalled:
        if (!relieve_stall()) return;
        break;
      case Stop::again: break;
      case Stop::waits: return;
      case Stop::used_up:
        if (!next_run()) return;
        break;
    }
  }
}

// An interrupt or a kernel thread had the CPU in between. The instructions before the next reference that have passed
// stay passed: the stream is moved by what was taken, not begun anew from now.
void Cpu::give_stolen_time() {
  at_ = here() + clock_.first_not_before(kTimeZero + stolen_);
  due_ = std::max(at_, now_subcycles());
  stolen_ = {};
  queue_.schedule(step_, clock_.time_of(due_));
}

Cpu::Stop Cpu::run_references() {
  const auto run_as = [this]<Style kStyle>() {
    return caches_ ? run_references_as<true, kStyle>() : run_references_as<false, kStyle>();
  };
  switch (style_) {
    case Style::plain: return run_as.operator()<Style::plain>();
    case Style::portions: return run_as.operator()<Style::portions>();
    case Style::paced: break;
  }
  return run_as.operator()<Style::paced>();
}

// Whether the reference needs no more than the first levels, or no time for it; then it is counted, and its page (and line)
// there are most recent.
template <bool kCaches>
bool Cpu::hits(const Record& r, std::int64_t start) {
  constexpr std::uint64_t kUnit = kCaches ? 64 : kPageBytes;  // one look-up per line, or per page
  const bool crosses = (r.va & (kUnit - 1)) + r.size > kUnit;
  if (crosses || depends(r)) [[unlikely]]
    return false;
  Mmu::Way& way = mmu_.way(unsigned(r.kind));
  Tlb::Hit hit = way.lookup({r.va}, mmu_.space_in_keys());
  const bool is_fetch = r.kind == RefKind::fetch, writes = is_write(r.kind);
  if (!hit) [[unlikely]] {
    hit = mmu_.find_l1({r.va}, is_fetch, writes);
    if (!hit) {
      if (!kCaches && mmu_.is_free() && mmu_.translate_free({r.va}, is_fetch, writes, start, ahead_of(r)))
        return ++stats_.refs_by[unsigned(r.kind)], true;
      l1_look_ = L1Look::missed;
      return false;
    }
  }
  if (!way.allows(hit.leaf())) [[unlikely]]
    return false;
  if (kCaches && is_fetch && has_l1i_) return false;
  if (kCaches && !is_fetch) {
    const PhysAddr pa = Mmu::physical(hit.leaf(), hit.size(), {r.va});
    if (!caches_->hit_l1d(id_, pa, writes)) [[unlikely]] {
      l1_look_ = L1Look::translated, translated_ = pa, translated_size_ = hit.size();
      return false;
    }
  }
  way.count(hit);
  return true;
}

// Runs references while nothing else in the machine is due, all hit, and the window has room. Stop::again: the next does not
// simply hit, and would start at `start`.
template <bool kCaches, Cpu::Style kStyle>
Cpu::Stop Cpu::run_hits(std::int64_t& start) {
  // Records fetched ahead, four host lines: the host's own prefetcher comes too late for a loop as short as this.
  constexpr std::ptrdiff_t kAhead = 16;
  Work& work = *work_;
  l1_look_ = L1Look::none;
  const std::int64_t limit = horizon(), cpi = cpi_;
  const std::int64_t quiet = kStyle == Style::paced ? quiet_from() : 0;
  const Record *p = work.next, *const end = work.end;
  if (p == end) return Stop::used_up;
  // What the stream has waited for holds for the first, and so for all.
  std::int64_t at = std::max(at_, floor_ - std::int64_t(p->instructions) * cpi), load_at = -1;
  // Instructions before the window is full, and before a portion of idle time.
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::int64_t room = std::int64_t(std::min(stall_at_, kMost) - work.instructions);
  std::int64_t portion =
      kStyle == Style::portions ? std::int64_t(work.idle_given_at + portion_ - work.instructions) : 0;
  const std::int64_t whole_room = room;
  Stop why = Stop::used_up;
  for (; p != end; ++p) {
    const Record& r = *p;
    __builtin_prefetch(p + kAhead);
    const std::int64_t ready = at + std::int64_t(r.instructions) * cpi;
    start = kStyle == Style::paced ? std::max(ready, paced_start(p)) : ready;
    const bool is_stalled = std::int64_t(r.instructions) >= room || (kStyle == Style::portions && portion <= 0);
    if (start > limit) why = Stop::not_due;
    else if (is_stalled) why = Stop::stalled;
    else if (!hits<kCaches>(r, start)) why = Stop::again;
    if (why != Stop::used_up) break;
    if constexpr (kStyle == Style::paced) idle_ += std::max<std::int64_t>(0, start - std::max(ready, quiet));
    if (kStyle == Style::paced && reads_data(r.kind)) load_at = start;
    room -= r.instructions;
    if (kStyle == Style::portions) portion -= r.instructions;
    at = start;
  }
  if (p == work.next) return why;
  if (kStyle != Style::paced) load_at = start_of_last_load(p, at);
  if (load_at >= 0) ++work.loads, last_load_at_ = load_at + l1_latency_;
  work.instructions += std::uint64_t(whole_room - room), stats_.instructions += std::uint64_t(whole_room - room);
  come_to(at);
  work.next = p;
  return why;
}

// Of those from work.next to `end`, that start one right after the other, the last at `at`. -1: none of them loads.
std::int64_t Cpu::start_of_last_load(const Record* end, std::int64_t at) const {
  while (end != work_->next) {
    const Record& r = *--end;
    if (reads_data(r.kind)) return at;
    at -= std::int64_t(r.instructions) * cpi_;
  }
  return -1;
}

// The same, with those between that do not simply hit. Where nothing else decides when such a one starts, run_hits() knows.
template <bool kCaches, Cpu::Style kStyle>
Cpu::Stop Cpu::run_references_as() {
  Work& work = *work_;
  while (true) {
    std::int64_t start = 0;
    const Stop why = run_hits<kCaches, kStyle>(start);
    if (why != Stop::again) return why;
    const Record& r = *work.next;
    const bool start_is_known = kStyle != Style::paced && !depends(r);
    if (start_is_known) count_start(r, start);
    if (!(start_is_known ? issue_started(r) : issue_reference())) return Stop::waits;
    if (work.resuming || !work.replay.empty() || stop_requested_ || stolen_ > Duration{}) return Stop::again;
  }
}

// The next reference starts after something else in the machine.
void Cpu::wait_for_next() {
  const std::int64_t ready = ready_at(*work_->next);
  due_ = start_of(work_->next, ready);
  waits_from_ = due_ > ready ? ready : kUnknown;
  queue_.schedule(step_, clock_.time_of(due_));
}

// True: look again now.
bool Cpu::relieve_stall() {
  const bool portion_is_over = style_ == Style::portions && work_->instructions >= work_->idle_given_at + portion_;
  if (!portion_is_over || !is_quiet()) return wait();
  take_idle_portion();
  return true;
}

// True: look again now.
bool Cpu::next_run() {
  if (!arrive()) return false;
  if (client_.more(*this)) plan_pace();
  else stop_requested_ = true;
  return true;
}

}  // namespace collapsar
