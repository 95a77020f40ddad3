// Cpu: stores whose address is known and whose line is not there. They wait in the store buffer; the program goes on.
//
// A line that comes from memory takes a fill buffer, of which stores have `outstanding`; a store to a line that another
// store already fetches joins it. A store that finds no fill buffer queues, oldest first.
#include <algorithm>

#include "models/cpu/cpu_slot.h"

namespace collapsar {

// With one miss at a time nothing overlaps, stores neither; without caches every line is there.
void Cpu::build_store_buffer() {
  if (config_.outstanding == 1 || !caches_) return;
  for (std::uint32_t i = 0; i < config_.store_buffer; ++i) stores_.push_back(std::make_unique<Slot>(this));
  for (const auto& slot : stores_) slot->is_store = true, free_stores_.push_back(slot.get());
  waiting_stores_.reserve(stores_.size());
  queued_stores_.reserve(stores_.size());
}

// Stores that are still translated have their room already.
bool Cpu::has_store_room() const {
  const auto translated_later = std::count_if(active_.begin(), active_.end(), [this](const Slot* slot) {
    return slot->state == Slot::State::walking && is_buffered(slot->piece.kind);
  });
  return free_stores_.size() > std::size_t(translated_later);
}

// False: there is none; the store waits for it.
bool Cpu::take_fill_buffer(Slot& slot) {
  const bool joins = std::any_of(waiting_stores_.begin(), waiting_stores_.end(),
                                 [&](const Slot* other) { return other->has_fill_buffer && other->line == slot.line; });
  if (joins) return true;
  if (store_fills_ == slots_.size()) {
    slot.state = Slot::State::queued;
    queued_stores_.push_back(&slot);
    return false;
  }
  ++store_fills_, slot.has_fill_buffer = true;
  return true;
}

// The stores of the queue that can go on now do: the oldest, and those that join its line.
void Cpu::release_fill_buffer(Slot& slot) {
  --store_fills_, slot.has_fill_buffer = false;
  for (std::size_t waiting = queued_stores_.size(); waiting > 0; --waiting) {
    Slot& next = *queued_stores_.front();
    queued_stores_.erase(queued_stores_.begin());
    next.state = Slot::State::fetching;
    if (take_fill_buffer(next)) fetch_line(next);
  }
}

}  // namespace collapsar
