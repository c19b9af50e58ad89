#include "guest.h"

#define COM1 0x3f8
enum { DATA = 0, INTERRUPT_ENABLE = 1, FIFO_CONTROL = 2, LINE_CONTROL = 3, MODEM_CONTROL = 4, LINE_STATUS = 5 };
#define TRANSMIT_EMPTY 0x20

void console_open(void) {
  outb(COM1 + INTERRUPT_ENABLE, 0);
  outb(COM1 + LINE_CONTROL, 0x80);
  outb(COM1 + DATA, 1); /* 115200 baud */
  outb(COM1 + INTERRUPT_ENABLE, 0);
  outb(COM1 + LINE_CONTROL, 3); /* 8 data bits, no parity, 1 stop bit */
  outb(COM1 + FIFO_CONTROL, 7);
  outb(COM1 + MODEM_CONTROL, 3);
}

static void transmit(char c) {
  while (!(inb(COM1 + LINE_STATUS) & TRANSMIT_EMPTY)) __asm__ volatile("pause");
  outb(COM1 + DATA, (u8)c);
}

void put_char(char c) {
  if (c == '\n') transmit('\r');
  transmit(c);
}

static void pad(int count, char with) {
  while (count-- > 0) put_char(with);
}

static void put_number(u64 value, u32 base, int negative, int width, int left, char fill) {
  char digits[24];
  int n = 0;
  do digits[n++] = "0123456789abcdef"[value % base];
  while (value /= base);
  if (negative) digits[n++] = '-';
  if (!left) pad(width - n, fill);
  int length = n;
  while (n) put_char(digits[--n]);
  if (left) pad(width - length, ' ');
}

static void put_text(const char *text, int width, int left) {
  int n = 0;
  while (text[n]) n++;
  if (!left) pad(width - n, ' ');
  for (int i = 0; i < n; i++) put_char(text[i]);
  if (left) pad(width - n, ' ');
}

void print(const char *format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  for (; *format; format++) {
    if (*format != '%') {
      put_char(*format);
      continue;
    }
    int left = 0, width = 0, wide = 0;
    char fill = ' ';
    format++;
    if (*format == '-') left = 1, format++;
    if (*format == '0') fill = '0', format++;
    while (*format >= '0' && *format <= '9') width = width * 10 + *format++ - '0';
    if (*format == 'l') wide = 1, format++;
    if (*format == 's') put_text(__builtin_va_arg(arguments, const char *), width, left);
    else if (*format == 'c') put_char((char)__builtin_va_arg(arguments, int));
    else if (*format == '%') put_char('%');
    else if (*format == 'd') {
      long value = wide ? __builtin_va_arg(arguments, long) : __builtin_va_arg(arguments, int);
      put_number(value < 0 ? -(u64)value : (u64)value, 10, value < 0, width, left, fill);
    } else {
      u64 value = wide ? __builtin_va_arg(arguments, u64) : __builtin_va_arg(arguments, u32);
      put_number(value, *format == 'x' ? 16 : 10, 0, width, left, fill);
    }
  }
  __builtin_va_end(arguments);
}
