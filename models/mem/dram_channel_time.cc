// DramChannel: the course of time. What is announced, what the channel has done until now, and when it must say so.
#include <algorithm>

#include "models/mem/dram.h"
#include "models/mem/dram_channel.h"

namespace collapsar {
namespace {

constexpr DramChannel::Cycle kUnhurried = 1000;  // ours: nobody waits, but no run ends before the last write is out

}  // namespace

void DramChannel::announce(DramPart& part) {
  DramPart* before = announced_.tail;
  while (before && before->arrives > part.arrives) before = before->previous;
  announced_.put_behind(before, part);
  ++banks_[part.bank].coming;
  const Cycle answer = earliest_answer(part);
  if (!tick_.pending() || answer < tick_at_) wake_at(answer);
}

void DramChannel::catch_up(Cycle now) {
  for (;;) {
    const bool busy = has_work();
    if (busy && !is_planned_) plan(done_until_);
    const Cycle arrival = announced_.head ? announced_.head->arrives : kNoCycle;
    const Cycle next = busy ? std::min({planned_.at, arrival, next_refresh_}) : arrival;
    if (next >= now) return;
    done_until_ = next;
    if (next >= next_refresh_) refresh(next);
    else if (next == arrival) take_next_announced();
    else is_planned_ = false, issue(planned_, next);
  }
}

void DramChannel::take_next_announced() {
  DramPart& part = *announced_.head;
  announced_.take(part);
  --banks_[part.bank].coming;
  if (part.age == 0) part.age = dram_.next_age();
  accept(part, part.arrives);
}

void DramChannel::sleep() {
  Cycle answer = kNoCycle;
  if (held_[kWaited] > 0) answer = serving_ == kWaited ? soonest_answer_ : planned_.at + column_to_answer_;
  else if (held_[kPosted] > 0) answer = planned_.at + kUnhurried;
  for (const DramPart* part = announced_.head; part; part = part->next)
    answer = std::min(answer, earliest_answer(*part));
  if (answer != kNoCycle) wake_at(answer);
}

void DramChannel::wake_at(Cycle answer) {
  tick_at_ = answer;
  queue_.reschedule(tick_, t_.time_of(answer));
}

void DramChannel::tick() {
  const Dram::AnswersHere answers(dram_);
  catch_up(t_.cycle_not_before(queue_.now()));
  sleep();
}

// Of a part that has been announced: no answer comes before. With others in its bank, its row may be open by then, or its
// line written there.
DramChannel::Cycle DramChannel::earliest_answer(const DramPart& part) const {
  if (!part.request && banks_[part.bank].coming == 1) return part.arrives + kUnhurried;
  const Bank& bank = banks_[part.bank];
  if (bank.coming > 1 || bank.waiting[kPosted].parts.head)
    return part.arrives + std::max(Cycle{config_.controller_latency}, Cycle{1});
  const DramGates::Bank& state = gates_.bank(part.bank);
  Cycle answer = part.arrives + column_to_answer_;
  if (bank.waiting[kWaited].parts.head || (state.is_open && state.open_row == part.row)) return answer;
  const bool must_close = state.is_open && bank.closes_at == kNoCycle && part.arrives < next_refresh_;
  return answer + t_.rcd + (must_close ? t_.rp : 0);
}

}  // namespace collapsar
