// A miss that waits for a walk or for memory. Included by cpu*.cc alone.
#pragma once

#include "models/cpu/cpu.h"

namespace collapsar {

struct Cpu::Slot {
  explicit Slot(Cpu* cpu) : owner(cpu) {}
  void walked() { owner->walked(*this); }
  void memory_due() { owner->memory_due(*this); }
  void line_arrived() { owner->line_arrived(*this); }

  Cpu* owner;
  bool is_serial = false;        // serves the first piece of the replay list
  bool is_store = false;         // an entry of the store buffer
  bool has_fill_buffer = false;  // of the store buffer: its line is under way on its own account
  PhysAddr line{}, lines_end{};  // lines still to be accessed
  Misses::Miss* miss = nullptr;  // while the slot is in use
  Piece piece;
  WalkRequest walk;
  LineFetch fetch;
  Event walked_ = event<&Slot::walked>(this, "cpu.walked", Phase::completion);
  Event memory_due_ = event<&Slot::memory_due>(this, "cpu.memory_due", Phase::cpu);
  Event line_arrived_ = event<&Slot::line_arrived>(this, "cpu.line_arrived", Phase::completion);
};

}  // namespace collapsar
