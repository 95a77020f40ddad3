#include "models/mem/dram_gates.h"

namespace collapsar {

DramGates::DramGates(const DramTiming& timing, std::uint32_t ranks)
    : t_(timing), banks_(ranks * timing.banks()), ranks_(ranks), groups_(ranks * timing.bank_groups) {
  for (std::uint32_t i = 0; i < banks_.size(); ++i) {
    banks_[i].rank = i / timing.banks();
    banks_[i].group = banks_[i].rank * timing.bank_groups + i % timing.bank_groups;
  }
}

void DramGates::precharge(std::uint32_t i, Cycle at) {
  Bank& bank = banks_[i];
  SIM_ASSERT(bank.is_open && at >= bank.precharge_ready, "precharge of bank {} at cycle {}, legal from {}", i, at,
             bank.precharge_ready);
  log(at, DramCommand::precharge, i, bank.open_row);
  bank.is_open = false;
  bank.activate_ready = std::max(bank.activate_ready, at + t_.rp);
}

void DramGates::activate(std::uint32_t i, std::uint64_t row, Cycle at) {
  Bank& bank = banks_[i];
  SIM_ASSERT(!bank.is_open && at >= earliest_activate(bank), "activate of bank {} at cycle {}, legal from {}", i, at,
             earliest_activate(bank));
  log(at, DramCommand::activate, i, row);
  bank.is_open = true;
  bank.open_row = row;
  bank.column_ready = at + t_.rcd;
  bank.precharge_ready = at + t_.ras;
  bank.activate_ready = at + t_.rc;
  groups_[bank.group].activate = at + t_.rrd_l;
  Rank& rank = ranks_[bank.rank];
  rank.gates.activate = at + t_.rrd_s;
  rank.activates[rank.oldest] = at;
  rank.oldest = (rank.oldest + 1) % 4;
}

DramGates::Cycle DramGates::column(std::uint32_t i, bool is_write, std::uint32_t lines, Cycle spacing, Cycle at) {
  Bank& bank = banks_[i];
  SIM_ASSERT(bank.is_open && at >= earliest_column(bank, is_write), "column of bank {} at cycle {}, legal from {}", i,
             at, earliest_column(bank, is_write));
  for (std::uint32_t line = 0; line < lines && log_; ++line)
    log(at + line * spacing, is_write ? DramCommand::write : DramCommand::read, i, bank.open_row);
  const Cycle last = at + (lines - 1) * spacing;
  const Cycle data_end = last + (is_write ? t_.cwl : t_.cl) + t_.burst;
  bus_free_ = data_end;
  bus_rank_ = bank.rank;
  if (is_write) gate_after_write(bank, last, data_end);
  else gate_after_read(bank, last);
  return data_end;
}

void DramGates::gate_after_read(Bank& bank, Cycle last) {
  Gates& rank = ranks_[bank.rank].gates;
  rank.not_before(false, last + t_.ccd_s);
  rank.not_before(true, last + t_.cl + t_.burst + DramTiming::kReadToWrite - t_.cwl);
  groups_[bank.group].not_before(false, last + t_.ccd_l);
  bank.precharge_ready = std::max(bank.precharge_ready, last + t_.rtp);
}

void DramGates::gate_after_write(Bank& bank, Cycle last, Cycle data_end) {
  Gates& rank = ranks_[bank.rank].gates;
  Gates& group = groups_[bank.group];
  rank.not_before(true, last + t_.ccd_s);
  rank.not_before(false, data_end + t_.wtr_s);
  group.not_before(true, last + t_.ccd_l_wr);
  group.not_before(false, data_end + t_.wtr_l);
  bank.precharge_ready = std::max(bank.precharge_ready, data_end + t_.wr);
}

void DramGates::refresh(std::uint32_t rank, Cycle due) {
  const std::uint32_t first = rank * t_.banks(), end = first + t_.banks();
  Cycle at = due;
  for (std::uint32_t i = first; i < end; ++i)
    if (banks_[i].is_open) at = std::max(at, banks_[i].precharge_ready);
  for (std::uint32_t i = first; i < end; ++i)
    if (banks_[i].is_open) precharge(i, at);
  for (std::uint32_t i = first; i < end; ++i) at = std::max(at, banks_[i].activate_ready);
  refresh_again(rank, at);
}

void DramGates::refresh_again(std::uint32_t rank, Cycle due) {
  const std::uint32_t first = rank * t_.banks();
  log(due, DramCommand::refresh, first, 0);
  for (std::uint32_t i = first; i < first + t_.banks(); ++i) banks_[i].activate_ready = due + t_.rfc;
}

}  // namespace collapsar
