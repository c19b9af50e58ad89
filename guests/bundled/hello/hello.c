/* The smallest useful guest: a line on the serial port, then power-off. */
#include "../common/guest.h"

void main(const struct start_info *info) {
  machine_open(info);
  print("Hello from 64-bit long mode.\n");
  if (*command_line()) print("command line: %s\n", command_line());
}
