import { UserError } from './user-error';

/** 2026-01-01T00:00:00Z: a run is the same whenever it is made. */
export const DEFAULT_RTC_START = 1_767_225_600;
const FIRST = Date.UTC(1980, 0, 1);
const BEYOND = Date.UTC(2080, 0, 1);

/** Date.parse() takes the 31st of every month, and makes it a day of the next. */
function isCalendarDay(text: string): boolean {
  const day = text.slice(0, 10);
  const date = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day);
}

/** `now`, an ISO 8601 date (UTC unless it says otherwise), or `@SECONDS` since 1970. Seconds since 1970. Throws UserError. */
export function parseRtc(text: string, now: () => number): number {
  if (text === 'now') return Math.floor(now() / 1000);
  const seconds = /^@(\d+)$/.exec(text);
  const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  if (iso && !isCalendarDay(text)) throw new UserError(`--rtc ${text}: the calendar has no such day`);
  const time = seconds ? Number(seconds[1]) * 1000 : iso ? Date.parse(iso[1] && !iso[3] ? `${text}Z` : text) : NaN;
  if (Number.isNaN(time)) throw new UserError(`--rtc ${text}: not a time; give now, a date like 2026-01-31 or 2026-01-31T12:00:00Z, or @SECONDS since 1970`);
  if (time < FIRST || time >= BEYOND) throw new UserError(`--rtc ${text}: a PC clock cannot show this; give a time from 1980 to 2079`);
  return Math.floor(time / 1000);
}
