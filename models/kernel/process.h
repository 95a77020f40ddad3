// Processes: who runs in which address space.
//
// Models:      processes and their threads (tasks), fork, exec, exit; an address space lives until its last process is
//              gone.
// Simplified:  a process has one address space shared by its threads; vfork is fork; an
//              address space that has exited keeps one frame, the root of its page table.
// Owns:        Process and AddressSpace objects; dead ones are kept (empty) so that reports and khugepaged's slots can
//              name them.
// Source:      Linux kernel/fork.c as documented; khugepaged.md 1.2, 1.3.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/kernel/address_space.h"

namespace collapsar {

struct Process {
  std::uint32_t pid = 0;
  std::string name;
  AddressSpace* mm = nullptr;  // nullptr after exit
  std::vector<TaskId> tasks;
  bool alive = true;
};

class Processes {
 public:
  explicit Processes(KernelContext& kernel);
  ~Processes();
  Process& create(std::uint32_t pid, const std::string& name);  // with an empty address space
  TaskId new_task(Process& process);
  void end_task(TaskId task);  // its thread is gone; the process lives on
  void end(Process& process);  // exit; its address space has been torn down
  Process& of(TaskId task) { return *task_owner_[task]; }
  // mm of a task; nullptr after exit.
  AddressSpace* mm_of(TaskId task) { return task_owner_[task]->mm; }
  Process* by_pid(std::uint32_t pid);
  std::vector<std::unique_ptr<Process>>& all() { return processes_; }
  std::vector<std::unique_ptr<AddressSpace>>& address_spaces() { return address_spaces_; }  // by asid - 1
  AddressSpace& new_address_space(std::uint32_t pid);

 private:
  KernelContext& kernel_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<AddressSpace>> address_spaces_;
  std::vector<Process*> task_owner_;
};

}  // namespace collapsar
