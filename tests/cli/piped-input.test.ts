import { createGuestRunner } from '../../cli/guest-machine';
import { FakeStdin, file, vmexit } from './fake-machine';

/** Waits for bit 0 of LSR (data ready), echoes, and writes 5 to isa-debug-exit after a 'q'. */
const ECHO = Buffer.from('bafd030000eca80174fbbaf8030000ecee3c7175ebbaf4000000b805000000efebfe', 'hex');

test.each(['--bare', '--backend=vmx'])('a guest that polls its UART gets what is piped in, at once (%s)', async (backend) => {
  const stdin = new FakeStdin();
  setImmediate(() => {
    stdin.emit('data', Buffer.from('hello\nq'));
    stdin.emit('end');
  });
  const args = ['run', file('echo', ECHO), '--format', 'flat64', '--memory', '2M', backend, '--device', 'isa-debug-exit', '--max-instructions', '100000000'];
  const { code, stdout } = await vmexit(args, [], stdin, { createRunner: createGuestRunner });
  expect([code, stdout]).toEqual([(5 << 1) | 1, 'hello\nq\n']);
});
