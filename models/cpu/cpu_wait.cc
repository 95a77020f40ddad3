// Cpu: the slots that misses occupy, and waiting for them.
#include <algorithm>

#include "models/cpu/cpu_slot.h"

namespace collapsar {

// --- slots ---

bool Cpu::has_room_for(RefKind kind) const { return !free_slots_.empty() && (!is_buffered(kind) || has_store_room()); }

Cpu::Slot& Cpu::take_slot(const Piece& piece) {
  SIM_ASSERT(!free_slots_.empty(), "CPU {} has no free miss slot", id_);
  Slot& slot = *free_slots_.back();
  free_slots_.pop_back();
  active_.push_back(&slot);
  slot.piece = piece, slot.is_serial = false;
  return slot;
}

// For the data of a piece whose address is known. Requires: has_room_for() has said so when the piece started.
Cpu::Slot& Cpu::take_data_slot(const Piece& piece) {
  if (!is_buffered(piece.kind)) return take_slot(piece);
  SIM_ASSERT(!free_stores_.empty(), "the store buffer of CPU {} has no room", id_);
  Slot& slot = *free_stores_.back();
  free_stores_.pop_back();
  waiting_stores_.push_back(&slot);
  slot.piece = piece;
  return slot;
}

// Requires: slot.done_at says when its miss was done.
void Cpu::free(Slot& slot) {
  last_done_ = std::max(last_done_, slot.done_at);
  if (slot.piece.load == work_->loads) last_load_at_ = std::max(last_load_at_, slot.done_at);
  std::vector<Slot*>& list = slot.is_store ? waiting_stores_ : active_;
  list.erase(std::find(list.begin(), list.end(), &slot));
  (slot.is_store ? free_stores_ : free_slots_).push_back(&slot);
  update_stall();
}

// The oldest miss says how far the instruction stream may run ahead. With one slot nothing may, nor past a fetch.
void Cpu::update_stall() {
  if (active_.empty()) stall_at_ = ~0ULL;
  else if (slots_.size() == 1 || active_.back()->piece.is_fetch()) stall_at_ = 0;
  else stall_at_ = active_.front()->piece.instruction + config_.window;
}

// Frees the slots whose misses are done by now. True: there were some.
bool Cpu::reap() {
  const bool some_loads = reap(active_), some_stores = reap(waiting_stores_);
  return some_loads || some_stores;
}

bool Cpu::reap(const std::vector<Slot*>& from) {
  const std::int64_t now = here();
  const std::size_t before = from.size();
  for (std::size_t i = 0; i < from.size();) {
    Slot& slot = *from[i];
    if (slot.state == Slot::State::known && slot.done_at <= now) free(slot);
    else ++i;
  }
  return from.size() < before;
}

// --- waiting ---

// Goes to the moment when the first miss of known length is done, or sleeps until an event changes something. True:
// look again now.
bool Cpu::wait() {
  if (reap() || is_quiet()) return true;
  std::int64_t first = kUnknown;
  for (const auto* misses : {&active_, &waiting_stores_})
    for (const Slot* slot : *misses)
      if (slot->state == Slot::State::known) first = std::min(first, slot->done_at);
  is_blocked_on_walk_ = !active_.empty() && active_.front()->state == Slot::State::walking;
  if (first != kUnknown && first <= horizon()) {
    end_of_wait(here(), first);
    due_ = std::max(due_, first);
    return reap();
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

// Something a blocked CPU may have waited for has happened: it looks again, now.
void Cpu::unblock() {
  if (!is_blocked_) return;
  is_blocked_ = false;
  due_ = std::max(here(), now_subcycles());
  end_of_wait(blocked_since_, due_);
  queue_.reschedule(step_, clock_.time_of(due_));
}

}  // namespace collapsar
