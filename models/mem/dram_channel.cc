#include "models/mem/dram_channel.h"

#include <algorithm>

#include "models/mem/dram.h"

namespace collapsar {
namespace {

constexpr std::uint32_t kChunkLines = 16;  // ours: of a bulk part, between two decisions

}  // namespace

DramChannel::DramChannel(Dram& dram, EventQueue& queue, const DramTiming& timing, const DramConfig& config,
                         std::uint32_t number, std::uint32_t channels, bool alternates_groups)
    : dram_(dram),
      queue_(queue),
      t_(timing),
      config_(config),
      alternates_groups_(alternates_groups),
      gates_(timing, config.ranks),
      banks_(gates_.banks()),
      column_to_answer_(std::min(t_.cl, t_.cwl) + t_.burst + Cycle{config_.controller_latency}) {
  for (std::uint32_t i = 0; i < banks_.size(); ++i) banks_[i].number = i;
  if (config.refresh == DramRefresh::none) return;
  for (std::uint32_t rank = 0; rank < config.ranks; ++rank)
    refresh_due_.push_back(t_.refi * (rank * channels + number + 1) / (config.ranks * channels));
  next_refresh_ = refresh_due_.front();
}

// ---- Who is next

// Takes `part` in, or lets it wait outside while its queue is full.
void DramChannel::accept(DramPart& part, Cycle now) {
  const QueueName q = queue_of(part);
  if (q == kWaited && forward(part, now)) return;
  const std::uint32_t room = q == kWaited ? config_.queue : config_.write_queue;
  if (held_[q] < room) enter(part, now);
  else outside_[q].push(part);
}

// A read of a line whose write still waits is answered by it.
bool DramChannel::forward(DramPart& part, Cycle now) {
  if (part.is_write || part.lines > 1) return false;
  for (const DramPart* p = banks_[part.bank].waiting[kPosted].parts.head; p; p = p->next)
    if (p->line == part.line) {
      ++dram_.stats_.forwarded;
      dram_.part_served(part, now + (config_.controller_latency == 0));  // at the earliest in the next cycle
      return true;
    }
  return false;
}

void DramChannel::enter(DramPart& part, Cycle now) {
  const QueueName q = queue_of(part);
  ++held_[q];
  Bank& bank = banks_[part.bank];
  if (bank.closes_at <= now) settle(bank, now), is_planned_ = false;
  Waiting& waiting = bank.waiting[q];
  if (!waiting.parts.head) busy_[q].push_back(&bank);
  waiting.parts.push(part);
  const DramGates::Bank& state = gates_.bank(bank.number);
  if (state.is_open && state.open_row == part.row) {
    if (!waiting.hit) waiting.hit = &part;
    bank.closes_at = kNoCycle;
  }
  if (is_planned_) weigh(bank, q, now);
}

// Something has arrived for `bank`. For the others the plan still holds: none of them has a command before it.
void DramChannel::weigh(Bank& bank, QueueName arrived, Cycle now) {
  const bool changes_queue = starts_to_drain() || (arrived == kWaited && serving_ == kPosted && !is_draining_);
  if (changes_queue) is_planned_ = false;
  if (changes_queue || arrived != serving_) return;
  Choice choice = of_bank(bank);
  if (planned_.bank == &bank) {
    is_planned_ = choice.part == planned_.part;
    return;
  }
  choice.at = std::max({choice.at, now, command_free_});
  soonest_answer_ = std::min(soonest_answer_, answer_after(choice));
  if (choice.at < planned_.at || (choice.at == planned_.at && choice.rank() < planned_.rank())) planned_ = choice;
}

// The first of all banks. Its parts stay in registers: put together for each bank, they would be written and read again.
void DramChannel::plan(Cycle now) {
  choose_queue(now);
  const Cycle floor = std::max(now, command_free_);
  Cycle at = kNoCycle;
  std::uint64_t rank = ~0ULL;  // at one cycle: columns before rows, then the oldest
  Bank* best = nullptr;
  soonest_answer_ = kNoCycle;
  for (Bank* bank : busy_[serving_]) {
    const Choice choice = of_bank(*bank);
    const Cycle soonest = std::max(choice.at, floor);
    soonest_answer_ = std::min(soonest_answer_, soonest - choice.at + answer_after(choice));
    const std::uint64_t its_rank = choice.rank();
    if (soonest > at || (soonest == at && its_rank > rank)) continue;
    at = soonest, rank = its_rank, best = bank;
  }
  planned_ = best ? of_bank(*best) : Choice{};
  planned_.at = at;
  is_planned_ = true;
}

void DramChannel::choose_queue(Cycle now) {
  if (starts_to_drain()) is_draining_ = true;
  else if (held_[kPosted] <= config_.write_low) is_draining_ = false;
  const QueueName before = serving_;
  serving_ = is_draining_ || held_[kWaited] == 0 ? kPosted : kWaited;
  if (serving_ == before) return;
  for (Bank* bank : busy_[serving_]) settle(*bank, now), bank->passed = 0;
}

DramChannel::Choice DramChannel::of_bank(Bank& bank) const {
  const Waiting& waiting = bank.waiting[serving_];
  const DramGates::Bank& state = gates_.bank(bank.number);
  DramPart* const oldest = waiting.parts.head;
  if (!state.is_open) return {gates_.earliest_activate(state), Step::row, &bank, oldest};
  if (waiting.hit && (waiting.hit == oldest || bank.passed < config_.hit_limit))
    return {gates_.earliest_column(state, waiting.hit->is_write), Step::column, &bank, waiting.hit};
  return {gates_.earliest_precharge(state), Step::row, &bank, oldest};
}

// If nothing comes between.
DramChannel::Cycle DramChannel::answer_after(const Choice& choice) const {
  Cycle answer = choice.at + column_to_answer_;
  if (choice.step == Step::row) answer += t_.rcd + (gates_.bank(choice.bank->number).is_open ? t_.rp : 0);
  return answer;
}

// ---- Commands

void DramChannel::issue(const Choice& choice, Cycle now) {
  command_free_ = now + 1;
  if (choice.step == Step::row) issue_row(*choice.bank, *choice.part, now);
  else issue_column(*choice.bank, *choice.part, now);
}

void DramChannel::issue_row(Bank& bank, DramPart& part, Cycle now) {
  bank.closes_at = kNoCycle;
  if (gates_.bank(bank.number).is_open) {
    part.outcome = DramPart::Outcome::conflict;
    gates_.precharge(bank.number, now);
  } else {
    if (part.outcome == DramPart::Outcome::none) part.outcome = DramPart::Outcome::miss;
    gates_.activate(bank.number, part.row, now);
  }
  find_hits(bank);
}

void DramChannel::issue_column(Bank& bank, DramPart& part, Cycle now) {
  const std::uint32_t lines = std::min(part.lines, kChunkLines);
  const Cycle spacing = alternates_groups_ ? t_.ccd_s : part.is_write ? t_.ccd_l_wr : t_.ccd_l;
  const Cycle data_end = gates_.column(bank.number, part.is_write, lines, spacing, now);
  bank.passed = &part == bank.waiting[serving_].parts.head ? 0 : bank.passed + 1;
  part.lines -= lines;
  if (part.lines > 0) return;
  leave(bank, part, now);
  dram_.part_served(part, data_end);
}

// `part` has had its last column: it makes room, and the bank looks for its next hit.
void DramChannel::leave(Bank& bank, DramPart& part, Cycle now) {
  Waiting& waiting = bank.waiting[serving_];
  waiting.hit = part.next;  // those before it want other rows
  while (waiting.hit && waiting.hit->row != part.row) waiting.hit = waiting.hit->next;
  waiting.parts.take(part);
  if (!waiting.parts.head) busy_[serving_].erase(std::find(busy_[serving_].begin(), busy_[serving_].end(), &bank));
  --held_[serving_];
  DramStats& stats = dram_.stats_;
  ++(part.outcome == DramPart::Outcome::none   ? stats.row_hits
     : part.outcome == DramPart::Outcome::miss ? stats.row_misses
                                               : stats.row_conflicts);
  PartList& outside = outside_[serving_];
  if (DramPart* const first = outside.head) outside.take(*first), enter(*first, now);
  if (!bank.waiting[kWaited].hit && !bank.waiting[kPosted].hit) row_unwanted(bank, now);
}

// No part waits for the open row: by the page policy, it closes at once, some time later, or when another is needed.
void DramChannel::row_unwanted(Bank& bank, Cycle now) {
  const Cycle can_close = gates_.earliest_precharge(gates_.bank(bank.number));
  switch (config_.page_policy) {
    case PagePolicy::open: return;
    case PagePolicy::closed: return gates_.precharge(bank.number, std::max(now, can_close));
    case PagePolicy::timeout: bank.closes_at = std::max(now + Cycle{config_.page_timeout}, can_close); return;
  }
}

// ---- What happens by itself

void DramChannel::find_hits(Bank& bank) {
  const DramGates::Bank& state = gates_.bank(bank.number);
  for (Waiting& waiting : bank.waiting) {
    waiting.hit = state.is_open ? waiting.parts.head : nullptr;
    while (waiting.hit && waiting.hit->row != state.open_row) waiting.hit = waiting.hit->next;
  }
}

void DramChannel::settle(Bank& bank, Cycle now) {
  if (bank.closes_at > now) return;
  gates_.precharge(bank.number, bank.closes_at);
  bank.closes_at = kNoCycle;
}

// All refreshes due by `now`. More than one of a rank, or one before `now`, only if the channel was idle then.
void DramChannel::refresh(Cycle now) {
  is_planned_ = false;
  for (std::uint32_t rank = 0; rank < refresh_due_.size(); ++rank) {
    Cycle& due = refresh_due_[rank];
    if (due > now) continue;
    const std::uint32_t first = rank * gates_.banks_of_rank(), end = first + gates_.banks_of_rank();
    for (std::uint32_t i = first; i < end; ++i) settle(banks_[i], due), banks_[i].closes_at = kNoCycle;
    gates_.refresh(rank, due);
    for (std::uint32_t i = first; i < end; ++i) find_hits(banks_[i]);
    const Cycle more = (now - due) / t_.refi;
    if (more > 0) gates_.refresh_again(rank, due + more * t_.refi);
    dram_.stats_.refreshes += std::uint64_t(more) + 1;
    due += (more + 1) * t_.refi;
  }
  next_refresh_ = *std::min_element(refresh_due_.begin(), refresh_due_.end());
}

// ---- Lists

void DramChannel::PartList::put_behind(DramPart* before, DramPart& part) {
  part.previous = before;
  part.next = before ? before->next : head;
  (part.next ? part.next->previous : tail) = &part;
  (before ? before->next : head) = &part;
}

void DramChannel::PartList::take(DramPart& part) {
  (part.previous ? part.previous->next : head) = part.next;
  (part.next ? part.next->previous : tail) = part.previous;
}

}  // namespace collapsar
