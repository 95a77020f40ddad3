// Cpu: the misses under way, and waiting for them.
#include <algorithm>

#include "models/cpu/cpu_slot.h"

namespace collapsar {

// --- misses ---

// A miss of which only its end is still to come.
void Cpu::add_known_miss(RefKind kind, std::uint64_t instruction, std::uint64_t load, std::int64_t done_at) {
  const Miss miss{instruction, load, done_at, nullptr, kind == RefKind::fetch, is_buffered(kind)};
  ends_.add(list_of(miss).add(miss));
  update_stall();
}

Cpu::Slot& Cpu::take_slot(const Piece& piece) {
  SIM_ASSERT(active_.size() < slots_.size(), "CPU {} has no free miss slot", id_);
  Slot& slot = *free_slots_.back();
  free_slots_.pop_back();
  slot.miss = &active_.add({piece.instruction, piece.load, kUnknown, &slot, piece.is_fetch(), false});
  slot.piece = piece, slot.is_serial = false;
  return slot;
}

// For the data of a piece whose address is known. Requires: has_room_for() has said so when the piece started.
Cpu::Slot& Cpu::take_data_slot(const Piece& piece) {
  if (!is_buffered(piece.kind)) return take_slot(piece);
  SIM_ASSERT(waiting_stores_.size() < stores_.size(), "the store buffer of CPU {} has no room", id_);
  Slot& slot = *free_stores_.back();
  free_stores_.pop_back();
  slot.miss = &waiting_stores_.add({piece.instruction, piece.load, kUnknown, &slot, false, true});
  slot.piece = piece;
  return slot;
}

void Cpu::release(Slot& slot) { (slot.is_store ? free_stores_ : free_slots_).push_back(&slot); }

// Nothing more happens to the miss but that its end comes.
void Cpu::end_is_known(Slot& slot, std::int64_t at) {
  Miss& miss = *slot.miss;
  miss.slot = nullptr, miss.is_walking = false, miss.done_at = at;
  ends_.add(miss);
  release(slot);
}

// The miss is done at `at`, which has come.
void Cpu::finish(Slot& slot, std::int64_t at) {
  Miss& miss = *slot.miss;
  miss.done_at = at;
  finished(miss);
  list_of(miss).erase(miss);
  release(slot);
  update_stall();
}

void Cpu::finished(const Miss& miss) {
  last_done_ = std::max(last_done_, miss.done_at);
  if (miss.load == work_->loads) last_load_at_ = std::max(last_load_at_, miss.done_at);
}

// The oldest miss says how far the instruction stream may run ahead. Nothing runs past a fetch.
void Cpu::update_stall() { stall_at_ = active_.back().is_fetch ? 0 : active_.front().instruction + window_; }

// Ends the misses that are done by now.
void Cpu::take_done() {
  ends_.take_done(here(), [this](Miss& miss) {
    finished(miss);
    list_of(miss).erase(miss);
  });
  update_stall();
}

// --- waiting ---

// Goes to the moment when the first miss of known length is done, or sleeps until an event changes something. True:
// look again now.
bool Cpu::wait() {
  const std::int64_t first = ends_.first();
  if (first <= here()) return take_done(), true;
  if (is_quiet()) return true;
  is_blocked_on_walk_ = active_.front().is_walking;
  if (first != kUnknown && first <= horizon()) {
    end_of_wait(here(), first);
    due_ = std::max(due_, first);
    return take_done(), true;
  }
  is_blocked_ = true, blocked_since_ = here();
  if (first != kUnknown) {
    due_ = first;
    queue_.schedule(step_, clock_.time_of(first));
  }
  return false;
}

void Cpu::end_of_wait(std::int64_t since, std::int64_t until) {
  if (is_blocked_on_walk_ && until > since) mmu_.add_stall(until - since);
  floor_ = std::max(floor_, until);
}

// Something a blocked CPU may have waited for has happened: it looks again, now. The last thing that a handler does.
void Cpu::unblock() {
  if (!is_blocked_) return;
  is_blocked_ = false;
  due_ = std::max(here(), now_subcycles());
  end_of_wait(blocked_since_, due_);
  const Time when = clock_.time_of(due_);
  if (when > queue_.now() || !queue_.is_next(Phase::cpu)) return queue_.reschedule(step_, when);
  queue_.cancel(step_);
  queue_.run_here(step_);
}

// Lets everything under way finish. True: nothing is, and the clock stands at the CPU's position.
bool Cpu::settle_drain() {
  while (!is_quiet())
    if (!wait()) return false;
  take_idle_portion();
  if (!arrive()) return false;
  stop_requested_ = is_draining_ = false;
  return true;
}

void Cpu::come_back(Time moment) {
  due_ = at_;
  queue_.schedule(step_, moment);
}

void Cpu::set_horizon(Time last) {
  horizon_time_ = last;
  const bool is_endless = last >= kNever - Duration(1);
  horizon_ = is_endless ? kUnknown : clock_.first_not_before(last + Duration(1)) - 1;
}

}  // namespace collapsar
