// Cpu: the time between references that the trace or the config asks for.
#include <algorithm>
#include <cmath>

#include "models/cpu/cpu_slot.h"

namespace collapsar {

Time Cpu::moment_of(std::int64_t stamp_ns) const {
  if (time_.pace != Pace::timestamps) return kTimeZero;
  return kTimeZero + Duration(std::llround(double(stamp_ns) * 1e3 * time_.scale));
}

// Where the records of a new run start, interpolated.
void Cpu::plan_pace() {
  const Work& work = *work_;
  if (style_ != Style::paced || work.begin == work.end) return;
  if (time_.pace == Pace::timestamps) {
    pace_base_ = double(clock_.first_not_before(moment_of(work.begin_ns)));
    const double end = double(clock_.first_not_before(moment_of(work.end_ns)));
    pace_step_ = (end - pace_base_) / double(work.end - work.begin);
  } else {
    pace_step_ = double(time_.fixed.count()) * time_.scale * config_.frequency.hertz * Clock::kSubcycles / 1e12;
    pace_base_ = double(clock_.first_not_before(work.pace_origin)) + pace_step_ * double(work.references);
  }
}

// From where on nothing is under way. A CPU that waits for its pace is idle from then on, and busy before.
std::int64_t Cpu::quiet_from() const {
  std::int64_t last = last_done_;
  for (const auto* misses : {&active_, &waiting_stores_})
    for (const Miss& miss : *misses) last = std::max(last, miss.done_at);  // kUnknown is the greatest
  return last;
}

std::int64_t Cpu::idle_in_wait(std::int64_t until) const {
  return waits_from_ >= until ? 0 : std::max<std::int64_t>(0, until - std::max(waits_from_, quiet_from()));
}

// Pace model with scale: what has been run and not yet been idled for.
std::int64_t Cpu::idle_owed() const {
  if (style_ != Style::portions) return 0;
  const auto run = double(work_->instructions - work_->idle_given_at);
  return std::llround(run * double(cpi_) * (time_.scale - 1));
}

// Requires: nothing is under way.
void Cpu::take_idle_portion() {
  const std::int64_t idle = idle_owed();
  at_ = here() + idle, idle_ += idle;
  work_->idle_given_at = work_->instructions;
}

}  // namespace collapsar
