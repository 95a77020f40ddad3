// DramChecker: reads the commands that one channel has issued and names every gate between two of them that was broken.
// It knows the rules from the data sheets' tables and nothing of the model: which command must follow which, in the same
// bank, bank group or rank, or in another rank, by how many cycles.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "models/mem/dram_gates.h"

namespace collapsar::test {

class DramChecker {
 public:
  using Cycle = std::int64_t;
  enum class Scope { bank, group, rank, other_rank };
  struct Rule {
    const char* name;
    DramCommand first, second;
    Scope scope;
    Cycle least;
  };

  explicit DramChecker(const DramTiming& t) : t_(t), rules_(rules_of(t)) {}

  static std::vector<Rule> rules_of(const DramTiming& t) {
    using C = DramCommand;
    const Cycle write_end = t.cwl + t.burst;
    return {
        {"tRCD", C::activate, C::read, Scope::bank, t.rcd},
        {"tRCD", C::activate, C::write, Scope::bank, t.rcd},
        {"tRAS", C::activate, C::precharge, Scope::bank, t.ras},
        {"tRC", C::activate, C::activate, Scope::bank, t.rc},
        {"tRP", C::precharge, C::activate, Scope::bank, t.rp},
        {"tRP", C::precharge, C::refresh, Scope::rank, t.rp},
        {"tRTP", C::read, C::precharge, Scope::bank, t.rtp},
        {"tWR", C::write, C::precharge, Scope::bank, write_end + t.wr},
        {"tRRD_L", C::activate, C::activate, Scope::group, t.rrd_l},
        {"tRRD_S", C::activate, C::activate, Scope::rank, t.rrd_s},
        {"tCCD_L", C::read, C::read, Scope::group, t.ccd_l},
        {"tCCD_S", C::read, C::read, Scope::rank, t.ccd_s},
        {"tCCD_L_WR", C::write, C::write, Scope::group, t.ccd_l_wr},
        {"tCCD_S", C::write, C::write, Scope::rank, t.ccd_s},
        {"tWTR_L", C::write, C::read, Scope::group, write_end + t.wtr_l},
        {"tWTR_S", C::write, C::read, Scope::rank, write_end + t.wtr_s},
        {"tRTW", C::read, C::write, Scope::rank, t.cl + t.burst + 2 - t.cwl},
        {"tRTRS", C::read, C::read, Scope::other_rank, t.burst + t.rtrs},
        {"tRTRS", C::write, C::write, Scope::other_rank, t.burst + t.rtrs},
        {"tRTRS", C::read, C::write, Scope::other_rank, t.cl + t.burst + t.rtrs - t.cwl},
        {"tRTRS", C::write, C::read, Scope::other_rank, t.cwl + t.burst + t.rtrs - t.cl},
        {"tRFC", C::refresh, C::activate, Scope::rank, t.rfc},
        {"tRFC", C::refresh, C::refresh, Scope::rank, t.rfc},
    };
  }

  // Every broken rule, in order; empty if all is legal.
  std::vector<std::string> broken(std::vector<DramCommandRecord> log) {
    std::stable_sort(log.begin(), log.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    for (const DramCommandRecord& c : log) check(c), remember(c);
    return std::move(broken_);
  }

 private:
  std::uint32_t rank_of(std::uint32_t bank) const { return bank / t_.banks(); }
  std::uint32_t group_of(std::uint32_t bank) const { return rank_of(bank) * t_.bank_groups + bank % t_.bank_groups; }

  void check(const DramCommandRecord& c) {
    for (const Rule& rule : rules_) {
      if (rule.second != c.command) continue;
      const Cycle last = last_before(rule, c.bank);
      if (last != kNever && c.at - last < rule.least)
        report(c, fmt::format("{} = {}: {} after", rule.name, rule.least, c.at - last));
    }
    const auto row = open_.find(c.bank);
    if (c.command == DramCommand::activate) {
      const auto& four = activates_[rank_of(c.bank)];
      if (four.size() == 4 && c.at - four.front() < t_.faw) report(c, "tFAW");
      if (row != open_.end()) report(c, "activate of an open bank");
    }
    if (c.command == DramCommand::refresh)
      for (const auto& [bank, r] : open_)
        if (rank_of(bank) == rank_of(c.bank)) report(c, "refresh with an open bank");
    const bool is_column = c.command == DramCommand::read || c.command == DramCommand::write;
    if (is_column && (row == open_.end() || row->second != c.row)) report(c, "column of a row that is not open");
    if (c.command == DramCommand::precharge && row == open_.end()) report(c, "precharge of a closed bank");
    if (!is_column) return;
    const Cycle data = c.at + (c.command == DramCommand::read ? t_.cl : t_.cwl);
    if (data < bus_free_) report(c, "bursts overlap");
    bus_free_ = data + t_.burst;
  }

  Cycle last_before(const Rule& rule, std::uint32_t bank) const {
    const auto at = [&](char scope, std::uint32_t number) {
      const auto found = last_.find({scope, number, rule.first});
      return found == last_.end() ? kNever : found->second;
    };
    switch (rule.scope) {
      case Scope::bank: return at('b', bank);
      case Scope::group: return at('g', group_of(bank));
      case Scope::rank: return at('r', rank_of(bank));
      case Scope::other_rank: break;
    }
    Cycle last = kNever;
    for (const auto& [key, when] : last_)
      if (std::get<0>(key) == 'r' && std::get<1>(key) != rank_of(bank) && std::get<2>(key) == rule.first)
        last = std::max(last, when);
    return last;
  }

  void remember(const DramCommandRecord& c) {
    last_[{'b', c.bank, c.command}] = c.at;
    last_[{'g', group_of(c.bank), c.command}] = c.at;
    last_[{'r', rank_of(c.bank), c.command}] = c.at;
    if (c.command == DramCommand::activate) {
      open_[c.bank] = c.row;
      auto& four = activates_[rank_of(c.bank)];
      four.push_back(c.at);
      if (four.size() > 4) four.pop_front();
    }
    if (c.command == DramCommand::precharge) open_.erase(c.bank);
  }

  void report(const DramCommandRecord& c, const std::string& what) {
    broken_.push_back(fmt::format("cycle {}, command {} of bank {}: {}", c.at, int(c.command), c.bank, what));
  }

  static constexpr Cycle kNever = std::numeric_limits<Cycle>::min();
  const DramTiming& t_;
  std::vector<Rule> rules_;
  std::map<std::tuple<char, std::uint32_t, DramCommand>, Cycle> last_;
  std::map<std::uint32_t, std::uint64_t> open_;
  std::map<std::uint32_t, std::deque<Cycle>> activates_;
  Cycle bus_free_ = 0;
  std::vector<std::string> broken_;
};

}  // namespace collapsar::test
