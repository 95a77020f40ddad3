// Cpu: references that do not simply hit: their translation, their data.
#include <algorithm>
#include <utility>

#include "models/cpu/cpu_slot.h"

namespace collapsar {

// --- one reference ---

// Starts (or goes on with) the record at work.next. False: something else must happen first, and the CPU has arranged
// to come back.
bool Cpu::issue_reference() {
  Work& work = *work_;
  const Record& r = *work.next;
  if (!work.resuming && !start_reference(r)) return false;
  return issue_started(r);
}

bool Cpu::issue_started(const Record& r) {
  Work& work = *work_;
  while (work.page_offset < r.size) {
    if (!work.replay.empty()) return true;  // an earlier page of this reference faults first
    while (!has_room_for(r.kind))
      if (!wait()) return false;
    if (!arrive()) return false;
    if (work.page_offset == 0 && issue_known(r)) break;
    Piece piece = piece_of(r);
    work.page_offset += piece.bytes;
    issue_piece(piece);
  }
  work.resuming = false, ++work.next;
  return true;
}

// The most common of those that do not simply hit, in one go: one line, and a translation that needs no walk. False: it
// is something else; nothing has been done that counts.
bool Cpu::issue_known(const Record& r) {
  const std::uint64_t unit = caches_ ? 64 : kPageBytes;
  if ((r.va & (unit - 1)) + r.size > unit || mmu_.ideal()) return false;
  const bool is_fetch = r.kind == RefKind::fetch, writes = is_write(r.kind);
  std::int64_t at = at_;
  PhysAddr pa = translated_;
  const bool has_missed_l1d = l1_look_ == L1Look::translated;
  if (has_missed_l1d) {
    mmu_.count_l1_hit(is_fetch, translated_size_);
  } else {
    bool has_missed_l1 = l1_look_ == L1Look::missed;
    const bool is_found = mmu_.find_l1_or_l2({r.va}, is_fetch, writes, has_missed_l1, pa);
    if (has_missed_l1) l1_look_ = L1Look::missed;
    if (!is_found) return false;
    if (has_missed_l1) at += std::int64_t{mmu_.l2_latency()} * Clock::kSubcycles;
  }
  l1_look_ = L1Look::none;
  if (caches_ && (!is_fetch || has_l1i_)) {
    const auto found = has_missed_l1d ? caches_->access_beyond_l1d(id_, pa, writes)
                                      : caches_->access(id_, pa, writes, is_fetch ? CacheEntry::l1i : CacheEntry::l1d);
    if (found.level == CacheHierarchy::kMemory) {
      const PhysAddr line{align_down(pa.value, 64)};
      return send_to_memory(take_data_slot(piece_of(r)), line, pa + r.size, at), true;
    }
    at += std::int64_t{found.latency} * Clock::kSubcycles;
  }
  if (at <= at_ + l1_latency_) return true;
  add_known_miss(r.kind, work_->instructions, load_of(r.kind), at);
  return true;
}

// What is left of the record's first page.
Piece Cpu::piece_of(const Record& r) const {
  Piece piece;
  piece.va = VirtAddr{r.va + work_->page_offset};
  piece.bytes = std::min(r.size - work_->page_offset, std::uint32_t(kPageBytes - piece.va.value % kPageBytes));
  piece.kind = r.kind;
  piece.instruction = work_->instructions, piece.reference = work_->slow_references;
  piece.load = load_of(r.kind);
  return piece;
}

// Counts the record and moves to its start. False: its address is not there yet, or others are due before.
bool Cpu::start_reference(const Record& r) {
  const bool depends_on_load = depends(r);
  while (depends_on_load && last_load_known_at() == kUnknown)
    if (!wait()) return false;
  const std::int64_t ready = std::max(ready_at(r), depends_on_load ? last_load_known_at() : 0);
  const std::int64_t start = start_of(work_->next, ready);
  if (start > horizon()) {
    due_ = start, waits_from_ = start > ready ? ready : kUnknown;
    queue_.schedule(step_, clock_.time_of(start));
    return false;
  }
  if (start > ready) idle_ += std::max<std::int64_t>(0, start - std::max(ready, quiet_from()));
  return count_start(r, start), true;
}

void Cpu::count_start(const Record& r, std::int64_t start) {
  come_to(start);
  Work& work = *work_;
  work.instructions += r.instructions, stats_.instructions += r.instructions;
  ++work.slow_references, ++stats_.refs_by[unsigned(r.kind)];
  if (reads_data(r.kind)) ++work.loads, last_load_at_ = start + l1_latency_;
  work.resuming = true, work.page_offset = 0;
}

// kUnknown: it is still under way.
std::int64_t Cpu::last_load_known_at() const {
  std::int64_t at = last_load_at_;
  for (const Miss& miss : active_)
    if (miss.load == work_->loads) at = std::max(at, miss.done_at);
  return at;
}

void Cpu::issue_piece(Piece& piece) {
  if (std::exchange(l1_look_, L1Look::none) == L1Look::missed) {
    mmu_.count_l1_miss(piece.is_fetch());
    return translate_in_l2(piece);
  }
  PhysAddr pa;
  switch (mmu_.lookup_l1(piece.va, piece.is_fetch(), piece.writes(), pa)) {
    case L1Result::hit: return access(piece, nullptr, pa, at_);
    case L1Result::not_allowed: return to_replay(piece, true);
    case L1Result::miss: return translate_in_l2(piece);
    case L1Result::needs_dirty: break;
  }
  if (mmu_.ideal()) return access(piece, nullptr, mmu_.translate_ideally(piece.va, false, true, false), at_);
  piece.repeated = true;
  begin_walk(piece, at_);
}

void Cpu::translate_in_l2(Piece& piece) {
  const bool is_fetch = piece.is_fetch(), writes = piece.writes();
  // A reference that is going to fault starts its walk only when everything older is done, and nothing younger starts
  // beside it.
  if (mmu_.ideal()) {
    piece.was_miss = true;
    if (mmu_.would_fault(piece.va, is_fetch, writes)) return to_replay(piece, true);
    return access(piece, nullptr, mmu_.translate_ideally(piece.va, is_fetch, writes, true), at_);
  }
  const std::int64_t known_at = at_ + std::int64_t{mmu_.l2_latency()} * Clock::kSubcycles;
  TlbEntry entry;
  if (mmu_.lookup_l2(piece.va, is_fetch, writes, entry)) {
    if (writes && !entry.leaf.writable()) return to_replay(piece, true);
    piece.repeated = writes && !entry.leaf.dirty();
    if (piece.repeated) begin_walk(piece, known_at);
    else access(piece, nullptr, Mmu::physical(entry.leaf, entry.size, piece.va), known_at);
    return;
  }
  piece.was_miss = true;
  if (!mmu_.has_fixed_walks()) {
    if (mmu_.would_fault(piece.va, is_fetch, writes)) return to_replay(piece, false);
    if (caches_) look_ahead(piece.va);
  }
  begin_walk(piece, known_at);
}

// Page tables and tags are far away for the host, too: lets it bring in the tags that are needed after the walk of `now`, and an
// entry that a later walk will read. Changes no result. Requires: !would_fault().
void Cpu::look_ahead(VirtAddr now) {
  const PageTable& table = *mmu_.space().table;
  const PageTable::Leaf leaf = table.lookup(now);
  caches_->prefetch(id_, Mmu::physical(*leaf.entry, leaf.size, now));
  table.prefetch(ahead_of(*work_->next));
}

// --- translation ---

void Cpu::begin_walk(const Piece& piece, std::int64_t at) {
  if (!mmu_.has_fixed_walks()) return void(start_walk(piece, at));
  if (mmu_.would_fault(piece.va, piece.is_fetch(), piece.writes())) return to_replay(piece, true);
  walk_fixed(piece, at);
}

// Requires: !would_fault().
void Cpu::walk_fixed(const Piece& piece, std::int64_t at) {
  const TlbEntry entry = mmu_.walk_fixed(piece.va, piece.is_fetch(), piece.writes(), piece.was_miss, at);
  at += std::int64_t{mmu_.fixed_walk()} * Clock::kSubcycles;
  access(piece, nullptr, Mmu::physical(entry.leaf, entry.size, piece.va), at);
}

Cpu::Slot& Cpu::start_walk(const Piece& piece, std::int64_t at) {
  Slot& slot = take_slot(piece);
  slot.miss->is_walking = true;
  slot.walk.va = piece.va, slot.walk.space = mmu_.space();
  slot.walk.is_write = piece.writes(), slot.walk.is_execute = piece.is_fetch();
  slot.walk.repeated = piece.repeated, slot.walk.done = &slot.walked_;
  slot.walk.begins = clock_.time_of(at);
  update_stall();
  mmu_.walk(slot.walk);
  return slot;
}

void Cpu::walked(Slot& slot) {
  const Piece piece = slot.piece;
  if (slot.walk.fault) {
    finish(slot, now_subcycles());
    if (slot.is_serial) work_->replay.front().needs_fault = true;
    else to_replay(piece, true);
    return unblock();
  }
  mmu_.fill(slot.walk, piece.is_fetch(), piece.was_miss);
  if (slot.is_serial) work_->replay.erase(work_->replay.begin());
  const TlbEntry entry = slot.walk.entry;
  access(piece, &slot, Mmu::physical(entry.leaf, entry.size, piece.va), now_subcycles());
  unblock();
}

// --- data, once the address is known at position `at` ---

// `slot`: the piece's, if it has one.
void Cpu::access(const Piece& piece, Slot* slot, PhysAddr pa, std::int64_t at) {
  if (!caches_ || (piece.is_fetch() && !has_l1i_)) return completed(slot, piece, at);
  if (slot && is_buffered(piece.kind)) finish(*std::exchange(slot, nullptr), at);
  access_lines(slot, piece, {align_down(pa.value, 64)}, pa + piece.bytes, at);
}

void Cpu::access_lines(Slot* slot, const Piece& piece, PhysAddr line, PhysAddr end, std::int64_t at) {
  const CacheEntry entry = piece.is_fetch() ? CacheEntry::l1i : CacheEntry::l1d;
  std::uint32_t longest = 0;
  for (; line < end; line += 64) {
    const CacheHierarchy::Lookup found = caches_->access(id_, line, piece.writes(), entry);
    if (found.level == CacheHierarchy::kMemory) {
      if (slot) slot->miss->is_walking = false;
      return send_to_memory(slot ? *slot : take_data_slot(piece), line, end, at);
    }
    longest = std::max(longest, found.latency);
  }
  completed(slot, piece, at + std::int64_t{longest} * Clock::kSubcycles);
}

// The lookup that found `line` in no cache begins at `at`.
void Cpu::send_to_memory(Slot& miss, PhysAddr line, PhysAddr end, std::int64_t at) {
  miss.line = line, miss.lines_end = end;
  update_stall();
  const Time moment = clock_.time_of(at);
  if (moment <= queue_.now()) return memory_due(miss);
  queue_.schedule(miss.memory_due_, moment);
}

void Cpu::memory_due(Slot& slot) {
  if (slot.is_store && !take_fill_buffer(slot)) return;
  fetch_line(slot);
}

void Cpu::fetch_line(Slot& slot) {
  const CacheEntry entry = slot.piece.is_fetch() ? CacheEntry::l1i : CacheEntry::l1d;
  caches_->fetch(slot.fetch, id_, slot.line, slot.piece.writes(), entry, slot.line_arrived_);
}

void Cpu::line_arrived(Slot& slot) {
  if (slot.has_fill_buffer) release_fill_buffer(slot);
  access_lines(&slot, slot.piece, slot.line + 64, slot.lines_end, now_subcycles());
  unblock();
}

// The piece is (or will be) done at position `at`; a hit in the first level needs no slot.
void Cpu::completed(Slot* slot, const Piece& piece, std::int64_t at) {
  if (at <= at_ + l1_latency_) {
    if (slot) finish(*slot, at);
    return;
  }
  if (slot) return end_is_known(*slot, at);
  add_known_miss(piece.kind, piece.instruction, piece.load, at);
}

}  // namespace collapsar
