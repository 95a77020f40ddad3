#include "models/mem/dram_channel.h"

#include <algorithm>

#include "models/mem/dram.h"

namespace collapsar {
namespace {

// Idle data bus cycles between bursts of different ranks: tRTRS of DRAMsim3's DDR4 files is 1, one preamble (JESD79-4).
constexpr DramChannel::Cycle kRankSwitch = 1;
// Data bus turn-round from read to write, beyond the bursts: Ramulator 2, ddr4.py: nCL + nBL + 2 - nCWL.
constexpr DramChannel::Cycle kReadToWrite = 2;

}  // namespace

DramChannel::DramChannel(Dram& dram, EventQueue& queue, const DramTiming& timing, const DramConfig& config)
    : dram_(dram),
      queue_(queue),
      t_(timing),
      is_closed_page_(config.page_policy == PagePolicy::closed),
      queue_limit_(config.queue),
      banks_(config.ranks * timing.banks()),
      ranks_(config.ranks),
      groups_(config.ranks * timing.bank_groups),
      activations_(config.ranks) {
  for (std::uint32_t i = 0; i < banks_.size(); ++i) {
    banks_[i].rank = i / timing.banks();
    banks_[i].group = banks_[i].rank * timing.bank_groups + i % timing.bank_groups;
  }
}

void DramChannel::accept(DramPart& part, Cycle now) {
  if (queued_ < queue_limit_) enter(part, now);
  else outside_.push(part);
}

void DramChannel::work(Cycle now) {
  for (;;) {
    const Choice choice = choose(now);
    if (choice.activate) activate(*choice.activate, now);
    if (choice.column) column(*choice.column, now);
    if (!choice.activate && !choice.column) return wake_at(choice.next);
  }
}

bool DramChannel::is_older(const Bank& bank, const Bank* than) {
  return !than || bank.waiting.head->age < than->waiting.head->age;
}

DramChannel::Choice DramChannel::choose(Cycle now) {
  Choice choice;
  for (Bank* bank : busy_) {
    if (bank->step == Bank::Step::activate) {
      const Cycle at = earliest_activate(*bank);
      if (at > now) choice.next = std::min(choice.next, at);
      else if (is_older(*bank, choice.activate)) choice.activate = bank;
    } else if (bank->column_ready > now) {
      choice.next = std::min(choice.next, bank->column_ready);
    } else if (is_older(*bank, choice.column)) {
      choice.column = bank;
    }
  }
  if (!choice.column) return choice;
  if (const Cycle at = earliest_column(*choice.column); at > now) {
    choice.next = std::min(choice.next, at);
    choice.column = nullptr;
  }
  return choice;
}

DramChannel::Cycle DramChannel::earliest_activate(const Bank& bank) const {
  const LastFour& four = activations_[bank.rank];
  return std::max(
      {bank.activate_ready, ranks_[bank.rank].activate, groups_[bank.group].activate, four.at[four.oldest] + t_.faw});
}

DramChannel::Cycle DramChannel::earliest_column(const Bank& bank) const {
  const bool is_write = bank.waiting.head->is_write;
  const Cycle bus = bus_free_ + (bank.rank == bus_rank_ ? 0 : kRankSwitch) - (is_write ? t_.cwl : t_.cl);
  return std::max({bank.column_ready, bus, ranks_[bank.rank].column(is_write), groups_[bank.group].column(is_write)});
}

void DramChannel::enter(DramPart& part, Cycle now) {
  ++queued_;
  Bank& bank = banks_[part.bank];
  const bool was_idle = !bank.waiting.head;
  bank.waiting.push(part);
  if (!was_idle) return;
  busy_.push_back(&bank);
  begin(bank, now);
}

// The bank turns to its first request. A precharge concerns nobody else, so it needs no moment of its own.
void DramChannel::begin(Bank& bank, Cycle now) {
  DramStats& stats = dram_.stats();
  if (bank.is_open && bank.open_row == bank.waiting.head->row) {
    ++stats.row_hits;
    bank.step = Bank::Step::column;
    return;
  }
  bank.step = Bank::Step::activate;
  ++(bank.is_open ? stats.row_conflicts : stats.row_misses);
  if (bank.is_open) precharge(bank, now);
}

void DramChannel::precharge(Bank& bank, Cycle now) {
  bank.activate_ready = std::max(now, bank.precharge_ready) + t_.rp;
  bank.is_open = false;
}

void DramChannel::activate(Bank& bank, Cycle now) {
  bank.is_open = true;
  bank.open_row = bank.waiting.head->row;
  bank.column_ready = now + t_.rcd;
  bank.precharge_ready = now + t_.ras;
  bank.step = Bank::Step::column;
  ranks_[bank.rank].activate = now + t_.rrd_s;
  groups_[bank.group].activate = now + t_.rrd_l;
  LastFour& four = activations_[bank.rank];
  four.at[four.oldest] = now;
  four.oldest = (four.oldest + 1) % 4;
}

void DramChannel::column(Bank& bank, Cycle now) {
  DramPart& part = bank.waiting.pop();
  const Cycle last = now + (part.lines - 1) * t_.burst;  // column command of the last line
  const Cycle data_end = last + (part.is_write ? t_.cwl : t_.cl) + t_.burst;
  bus_free_ = data_end;
  bus_rank_ = bank.rank;
  if (part.is_write) gate_after_write(bank, last, data_end);
  else gate_after_read(bank, last);
  const bool next_hits = bank.waiting.head && bank.waiting.head->row == bank.open_row;
  if (is_closed_page_ && !next_hits) precharge(bank, now);
  dram_.part_served(part, data_end);
  --queued_;
  if (bank.waiting.head) begin(bank, now);
  else busy_.erase(std::find(busy_.begin(), busy_.end(), &bank));
  if (outside_.head) enter(outside_.pop(), now);
}

void DramChannel::gate_after_read(Bank& bank, Cycle last) {
  Gates& rank = ranks_[bank.rank];
  Gates& group = groups_[bank.group];
  rank.read = std::max(rank.read, last + t_.ccd_s);
  group.read = last + t_.ccd_l;
  rank.write = std::max(rank.write, last + t_.cl + t_.burst + kReadToWrite - t_.cwl);
  bank.precharge_ready = std::max(bank.precharge_ready, last + t_.rtp);
}

void DramChannel::gate_after_write(Bank& bank, Cycle last, Cycle data_end) {
  Gates& rank = ranks_[bank.rank];
  Gates& group = groups_[bank.group];
  rank.write = std::max(rank.write, last + t_.ccd_s);
  group.write = last + t_.ccd_l;
  rank.read = std::max(rank.read, data_end + t_.wtr_s);
  group.read = data_end + t_.wtr_l;
  bank.precharge_ready = std::max(bank.precharge_ready, data_end + t_.wr);
}

void DramChannel::wake_at(Cycle next) {
  if (next == kNoCycle) return;
  const Time when = t_.time_of(next);
  if (tick_.pending() && tick_.when() <= when) return;  // it will look again
  queue_.reschedule(tick_, when);
}
void DramChannel::tick() { work(t_.cycle_not_before(queue_.now())); }

void DramChannel::PartList::push(DramPart& part) {
  part.next = nullptr;
  (head ? tail->next : head) = &part;
  tail = &part;
}

DramPart& DramChannel::PartList::pop() {
  DramPart& first = *head;
  head = first.next;
  return first;
}

}  // namespace collapsar
