// Cpu: stores whose address is known and whose line is not there. They wait in the store buffer; the program goes on.
//
// A line that comes from memory takes a fill buffer, of which stores have `outstanding`; a store to a line that another
// store already fetches joins it. A store that finds no fill buffer queues, oldest first.
#include <algorithm>

#include "models/cpu/cpu_slot.h"

namespace collapsar {

void Cpu::build_store_buffer() {
  if (!has_store_buffer()) return;
  for (std::uint32_t i = 0; i < config_.store_buffer; ++i) stores_.push_back(std::make_unique<Slot>(this));
  for (const auto& slot : stores_) slot->is_store = true, free_stores_.push_back(slot.get());
  queued_stores_.reserve(stores_.size());
  filled_lines_.reserve(slots_.size());
}

// Stores that are still translated have their room already.
bool Cpu::has_store_room() const {
  if (stores_.size() - waiting_stores_.size() > active_.size()) return true;  // even if all of them are
  std::size_t translated_later = 0;
  for (const Miss& miss : active_) translated_later += miss.is_walking && is_buffered(miss.slot->piece.kind);
  return stores_.size() - waiting_stores_.size() > translated_later;
}

// False: there is none; the store waits for it.
bool Cpu::take_fill_buffer(Slot& slot) {
  if (std::find(filled_lines_.begin(), filled_lines_.end(), slot.line) != filled_lines_.end()) return true;  // joins
  if (filled_lines_.size() == slots_.size()) {
    queued_stores_.push_back(&slot);
    return false;
  }
  filled_lines_.push_back(slot.line), slot.has_fill_buffer = true;
  return true;
}

// The stores of the queue that can go on now do: the oldest, and those that join its line.
void Cpu::release_fill_buffer(Slot& slot) {
  filled_lines_.erase(std::find(filled_lines_.begin(), filled_lines_.end(), slot.line));
  slot.has_fill_buffer = false;
  for (std::size_t waiting = queued_stores_.size(); waiting > 0; --waiting) {
    Slot& next = *queued_stores_.front();
    queued_stores_.erase(queued_stores_.begin());
    if (take_fill_buffer(next)) fetch_line(next);
  }
}

}  // namespace collapsar
