/** Time, calendar and alarm bytes of an MC146818: their places, their formats, and how they advance. */

/** Address map of the real-time clock; the century byte is where the FADT says it is. */
export const RTC_REGISTER = {
  seconds: 0x00,
  secondsAlarm: 0x01,
  minutes: 0x02,
  minutesAlarm: 0x03,
  hours: 0x04,
  hoursAlarm: 0x05,
  dayOfWeek: 0x06,
  dayOfMonth: 0x07,
  month: 0x08,
  year: 0x09,
  A: 0x0a,
  B: 0x0b,
  C: 0x0c,
  D: 0x0d,
  century: 0x32,
} as const;

/** Register B bits that choose the format. */
export interface RtcFormat {
  /** DM: binary instead of BCD. */
  readonly binary: boolean;
  /** 24/12: 24-hour mode. */
  readonly hours24: boolean;
}

const DAY = 86_400;
const PM = 0x80;
/** Alarm codes C0h-FFh match anything. */
const DONT_CARE = 0xc0;

const decode = (raw: number, f: RtcFormat): number => (f.binary ? raw : (raw >>> 4) * 10 + (raw & 15));
const encode = (n: number, f: RtcFormat): number => (f.binary ? n & 0xff : ((Math.floor(n / 10) & 15) << 4) | (n % 10));

function decodeHour(raw: number, f: RtcFormat): number {
  if (f.hours24) return decode(raw, f);
  return (decode(raw & 0x7f, f) % 12) + (raw & PM ? 12 : 0);
}

function encodeHour(hour: number, f: RtcFormat): number {
  if (f.hours24) return encode(hour, f);
  return encode(hour % 12 || 12, f) | (hour >= 12 ? PM : 0);
}

/** Seconds since 1970 that the registers say; days and months out of range carry over. */
export function readCalendar(ram: Uint8Array, f: RtcFormat): number {
  const R = RTC_REGISTER;
  const at = (register: number): number => decode(ram[register], f);
  const date = new Date(0);
  date.setUTCFullYear(at(R.century) * 100 + at(R.year), at(R.month) - 1, at(R.dayOfMonth));
  return Math.floor(date.getTime() / 1000) + decodeHour(ram[R.hours], f) * 3600 + at(R.minutes) * 60 + at(R.seconds);
}

export function writeCalendar(ram: Uint8Array, f: RtcFormat, epochSeconds: number, dayOfWeek: number): void {
  const R = RTC_REGISTER;
  const date = new Date(epochSeconds * 1000);
  const year = date.getUTCFullYear();
  ram[R.seconds] = encode(date.getUTCSeconds(), f);
  ram[R.minutes] = encode(date.getUTCMinutes(), f);
  ram[R.hours] = encodeHour(date.getUTCHours(), f);
  ram[R.dayOfWeek] = encode(dayOfWeek, f);
  ram[R.dayOfMonth] = encode(date.getUTCDate(), f);
  ram[R.month] = encode(date.getUTCMonth() + 1, f);
  ram[R.year] = encode(((year % 100) + 100) % 100, f);
  ram[R.century] = encode(((Math.floor(year / 100) % 100) + 100) % 100, f);
}

/** `seconds` update cycles at once. The day of the week counts on from whatever it was, Sunday being 1. */
export function advanceCalendar(ram: Uint8Array, f: RtcFormat, seconds: number): void {
  const before = readCalendar(ram, f);
  const after = before + seconds;
  const days = Math.floor(after / DAY) - Math.floor(before / DAY);
  const dayOfWeek = ((((decode(ram[RTC_REGISTER.dayOfWeek], f) - 1 + days) % 7) + 7) % 7) + 1;
  writeCalendar(ram, f, after, dayOfWeek);
}

/** Seconds (1 to 86,400) until the time next equals the alarm bytes; Infinity when they match no time of day. */
export function secondsToAlarm(ram: Uint8Array, f: RtcFormat): number {
  const R = RTC_REGISTER;
  const matches = (alarm: number, code: number): boolean => ram[alarm] >= DONT_CARE || ram[alarm] === code;
  const now = ((readCalendar(ram, f) % DAY) + DAY) % DAY;
  const hour = Math.floor(now / 3600);
  const inHour = now % 3600;
  for (let h = 0; h <= 24; h++) {
    if (!matches(R.hoursAlarm, encodeHour((hour + h) % 24, f))) continue;
    for (let m = h === 0 ? Math.floor(inHour / 60) : 0; m < 60; m++) {
      if (!matches(R.minutesAlarm, encode(m, f))) continue;
      for (let s = 0; s < 60; s++) {
        const wait = h * 3600 + m * 60 + s - inHour;
        if (wait > 0 && matches(R.secondsAlarm, encode(s, f))) return wait;
      }
    }
  }
  return Infinity;
}
