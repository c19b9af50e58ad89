import { execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { readFile } from '../../cli/input-file';
import { UserError } from '../../cli/user-error';
import { file } from './fake-machine';

test.each([0, 1, (1 << 20) - 1, 1 << 20, 3_000_001])('a file of %i bytes', (size) => {
  const bytes = Buffer.alloc(size, 'contents');
  expect(Buffer.compare(readFile(file('sized', bytes), 'file'), bytes)).toBe(0);
});

test('what /proc shows has contents, though its size is 0', () => {
  expect(new TextDecoder().decode(readFile('/proc/self/status', 'file'))).toMatch(/^Name:/);
});

test('a pipe is read to its end', () => {
  const pipe = join(file('beside', ''), '../pipe');
  execFileSync('mkfifo', [pipe]);
  spawn('sh', ['-c', `head -c 2500000 /dev/zero > ${pipe}`], { stdio: 'ignore' });
  expect(readFile(pipe, 'file').length).toBe(2_500_000);
});

test('a device that has no end is refused, also behind a link', () => {
  expect(() => readFile('/proc/self/root/dev/zero', 'image')).toThrow(UserError);
  expect(() => readFile('/proc/self/root/dev/zero', 'image')).toThrow(/it is a character device/);
});

test('a file with more than fits is refused before it is read', () => {
  const path = file('huge', '');
  execFileSync('truncate', ['-s', '3G', path]);
  expect(() => readFile(path, 'image')).toThrow(/huge: it has more than 2 GiB/);
});
