// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tool's name and options, and its registration with Valgrind.
#include "capture.h"
#include "pub_tool_libcbase.h"
#include "pub_tool_libcprint.h"
#include "pub_tool_options.h"

const HChar* option_socket = "";
Bool option_children = False;
Bool option_every_fetch = False;
Bool option_thp_align = False;

static Bool read_option(const HChar* argument) {
  if (VG_STR_CLO(argument, "--socket", option_socket)) return True;
  if (VG_BOOL_CLO(argument, "--children", option_children)) return True;
  if (VG_BOOL_CLO(argument, "--every-fetch", option_every_fetch)) return True;
  if (VG_BOOL_CLO(argument, "--thp-align", option_thp_align)) return True;
  return False;
}

static void print_options(void) {
  VG_(printf)
  ("    --socket=PATH         where collapsar capture listens\n"
   "    --children=no|yes     follow forked children [no]\n"
   "    --every-fetch=no|yes  each instruction, not each block [no]\n"
   "    --thp-align=no|yes    large anonymous mappings begin at 2 MiB [no]\n");
}

static void print_nothing(void) {}

static void register_tool(void) {
  VG_(details_name)("collapsar");
  VG_(details_version)(NULL);
  VG_(details_description)("records memory references and address-space events");
  VG_(details_copyright_author)("Part of collapsar; GPL-2.0-or-later.");
  VG_(details_bug_reports_to)("the collapsar project");
  VG_(needs_command_line_options)(read_option, print_options, print_nothing);
  register_events();
}

VG_DETERMINE_INTERFACE_VERSION(register_tool)
