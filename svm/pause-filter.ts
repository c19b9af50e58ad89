/** APM "Pause Intercept Filtering": spin loops exit after a number of PAUSEs, those far apart not at all. */
import { SvmFeature } from './features';
import type { Svm } from './svm';
import { VMCB } from './vmcb/layout';

/** An intercepted PAUSE: does it exit? */
export function pauseExits(svm: Svm): boolean {
  const filter = svm.vmcb.low(VMCB.PAUSE_FILTER_THRESHOLD);
  const count = filter >>> 16;
  if (count === 0 || !svm.has(SvmFeature.PAUSE_FILTER)) return true;
  const threshold = filter & 0xffff;
  const now = svm.cpu.now();
  // More cycles than the threshold since the last PAUSE: the count starts again.
  if (threshold !== 0 && svm.has(SvmFeature.PAUSE_FILTER_THRESHOLD) && now - svm.lastPause > threshold) svm.pauseCount = count;
  svm.lastPause = now;
  if (svm.pauseCount > 0) svm.pauseCount--;
  return svm.pauseCount === 0;
}
