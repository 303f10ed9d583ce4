"""LiveJournal's protocol with Python's own XML-RPC client: livejournal.py USER PASSWORD URL URL URL"""
import hashlib
import sys
import xmlrpc.client

user, password, urls = sys.argv[1], sys.argv[2], [u + "/interface/xmlrpc" for u in sys.argv[3:]]


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def node(i, cookie=None):
    headers = [("X-LJ-Auth", "cookie"), ("Cookie", "ljsession=" + cookie)] if cookie else []
    return xmlrpc.client.ServerProxy(urls[i], headers=headers).LJ.XMLRPC


def want_fault(code, text, call, arguments):
    try:
        answer = call(arguments)
    except xmlrpc.client.Fault as f:
        assert (f.faultCode, f.faultString) == (code, text), f
    else:
        raise AssertionError("%r is no fault %d" % (answer, code))


def by_challenge(challenge):
    return {"username": user, "ver": 1, "auth_method": "challenge", "auth_challenge": challenge,
            "auth_response": md5(challenge + md5(password))}


# A challenge of the first node is good once, at the second.
issued = node(0).getchallenge({})
assert issued["auth_scheme"] == "c0" and issued["expire_time"] == issued["server_time"] + 60, issued
made = node(1).sessiongenerate(dict(by_challenge(issued["challenge"]), expiration="long"))
assert list(made) == ["ljsession"] and made["ljsession"].startswith("ws:%s:" % user), made
for i in range(3):
    want_fault(101, "Invalid password", node(i).sessiongenerate, by_challenge(issued["challenge"]))

# The session is known everywhere, and not what it is bound to is said.
cookie = made["ljsession"]
by_cookie = {"username": user, "auth_method": "cookie"}
for i in range(3):
    assert "ws:" + node(i, cookie).checksession(by_cookie)["session"] == cookie
    want_fault(101, "Invalid password", node(i).checksession, by_cookie)

# Passwords in the clear and their MD5.
for proof in {"password": password}, {"hpassword": md5(password)}:
    answer = node(2).login(dict(proof, username=user.upper(), ver=1))
    assert answer["username"] == user and answer["usejournals"] == [], answer
want_fault(101, "Invalid password", node(2).login, {"username": user, "password": "wrong"})
want_fault(100, "Invalid username", node(2).login, {"username": "no such name", "password": password})
want_fault(200, "Client error: Missing required argument(s)", node(2).login, {})
want_fault(201, "Client error: Unknown method", node(2).postevent, {"username": user, "password": password})

# An array of ids ends what it names, at every node.
number = int(cookie.split(":")[2])
assert node(0).sessionexpire({"username": user, "password": password, "expire": [number, 99999]}) == {}
for i in range(3):
    want_fault(101, "Invalid password", node(i, cookie).checksession, by_cookie)
assert node(0).sessionexpire({"username": user, "password": password, "expireall": True}) == {}
print("all good")
